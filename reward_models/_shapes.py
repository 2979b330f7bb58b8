"""The base class of the shapes world's rewards, and the conversion of images to tensors.

Imports torch and what needs it only inside functions: `bench list` reads the class attributes and must not load torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from benchbench.api import MissingError, Reward
from benchbench.runtime.resize import resize
from benchbench.shapes import WEIGHTS

from ._exact import use_exact_fp32

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

SIDE = 32
"""The world's image size in pixels. Images of other sizes are resized to it."""
CHUNK = 100  # images that are scored at a time


def to_tensor(images: Sequence[Image]) -> torch.Tensor:
    """Returns RGB images as float32 [N, 3, 32, 32] in [0, 1]."""
    import numpy as np
    import torch
    from PIL.Image import Resampling

    if not images:
        return torch.zeros(0, 3, SIDE, SIDE)
    arrays = []
    for image in images:
        rgb = image.convert("RGB")
        if rgb.size != (SIDE, SIDE):
            rgb = resize(rgb, (SIDE, SIDE), Resampling.BICUBIC)
        arrays.append(np.asarray(rgb))
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255


def to_side(images: torch.Tensor) -> torch.Tensor:
    """Returns tensors [N, 3, H, W] in [0, 1] resized to [N, 3, 32, 32], with a gradient."""
    from torch.nn.functional import interpolate

    if images.shape[-2:] == (SIDE, SIDE):
        return images.float()
    resized = interpolate(images.float(), (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(0, 1)


class ShapesReward(Reward):
    """A differentiable reward on 32x32 images; ``score`` computes the same in chunks without gradient."""

    version: ClassVar[str] = "shapes-1"
    differentiable: ClassVar[bool] = True
    weights: ClassVar[str] = "shipped"
    file: ClassVar[str | None] = None
    """The file or folder of the weights in the world's weights folder; None for a formula."""

    @classmethod
    def missing(cls) -> str | None:
        """Returns which weights are missing and where they were expected, or None."""
        if cls.file is None or (WEIGHTS / cls.file).exists():
            return super().missing()
        return f"{cls.file} of the shapes world is not in {WEIGHTS}"

    @classmethod
    def weight_files(cls) -> list[Path]:
        """Returns the shipped files, sorted, and behind them that of weights of the user's own."""
        if cls.file is None:
            return []
        place = WEIGHTS / cls.file
        shipped = sorted(path for path in (place.rglob("*") if place.is_dir() else [place]) if path.is_file())
        return [*shipped, *super().weight_files()]

    def __init__(self, device: torch.device | str = "cpu") -> None:
        missing = self.missing()
        if missing:
            raise MissingError(f"{self.name} has no weights", missing, "bench shapes build --out DIR makes them")
        super().__init__(device)
        use_exact_fp32()

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> torch.Tensor:
        """Returns scores for evaluation, float32 [N] on the CPU."""
        import torch

        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} images for {len(prompts)} prompts")
        pixels, parts = to_tensor(images), [torch.zeros(0)]
        with torch.no_grad():
            for i in range(0, len(pixels), CHUNK):
                chunk = pixels[i : i + CHUNK].to(self.device)
                parts.append(self.score_differentiable(chunk, prompts[i : i + CHUNK]).float().cpu())
        return torch.cat(parts)
