"""The negative size of an image as a JPEG file: rewards plain images."""

from __future__ import annotations

from typing import ClassVar

from ._jpeg import JPEGSize


class JPEGCompressibility(JPEGSize):
    """Minus the JPEG file size in kB of 1000 bytes, at quality 95, as in DDPO (arXiv:2305.13301)."""

    name: ClassVar[str] = "jpeg_compressibility"
    range: ClassVar[tuple[float, float]] = (-500.0, 0.0)
    sign: ClassVar[float] = -1.0
