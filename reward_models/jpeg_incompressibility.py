"""The size of an image as a JPEG file: rewards detailed images."""

from __future__ import annotations

from typing import ClassVar

from ._jpeg import JPEGSize


class JPEGIncompressibility(JPEGSize):
    """The JPEG file size in kB of 1000 bytes, at quality 95, as in DDPO (arXiv:2305.13301)."""

    name: ClassVar[str] = "jpeg_incompressibility"
    range: ClassVar[tuple[float, float]] = (0.0, 500.0)
    sign: ClassVar[float] = 1.0
