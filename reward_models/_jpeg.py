"""JPEG size as a reward, after DDPO (arXiv:2305.13301): quality 95, in kB of 1000 bytes, negated for compressibility.

The size includes the header, about 640 bytes for a 32x32 image of one colour.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from benchbench.api import Reward

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

QUALITY = 95
MAX_SIDE = 65_500
"""Pixels of a side that the JPEG library writes."""


def kilobytes(image: Image) -> float:
    """Returns the size of the image as a JPEG file of quality 95, in units of 1000 bytes."""
    file = io.BytesIO()
    image.convert("RGB").save(file, format="JPEG", quality=QUALITY)
    return len(file.getvalue()) / 1000


class JPEGSize(Reward):
    """``sign`` times the size of the JPEG file."""

    version: ClassVar[str] = "q95"
    unit: ClassVar[str] = "kB"
    differentiable: ClassVar[bool] = False
    weights: ClassVar[str] = "none"
    reads_prompt: ClassVar[bool] = False
    sign: ClassVar[float]

    def refuses(self, width: int, height: int) -> str | None:
        """Returns why images of this size cannot be written as JPEG, or None."""
        return f"JPEG has sides of at most {MAX_SIDE} pixels" if max(width, height) > MAX_SIDE else None

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> torch.Tensor:
        """Returns the signed file sizes, float32 [N]."""
        import torch

        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} images for {len(prompts)} prompts")
        return torch.tensor([self.sign * kilobytes(image) for image in images], dtype=torch.float32)
