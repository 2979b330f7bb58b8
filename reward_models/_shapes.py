"""What the shapes world's rewards share: pictures as tensors, chunks, and where the weights are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from benchbench.api import MissingError, Reward
from benchbench.shapes import WEIGHTS

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

SIDE = 32
"""Pictures of another size are resized to 32x32 pixels, the world's own size."""
CHUNK = 100


def to_tensor(images: Sequence[Image]) -> torch.Tensor:
    """RGB images as float32 [N, 3, 32, 32] in [0, 1]."""
    import numpy as np
    import torch
    from PIL.Image import Resampling

    if not images:
        return torch.zeros(0, 3, SIDE, SIDE)
    arrays = []
    for image in images:
        rgb = image.convert("RGB")
        if rgb.size != (SIDE, SIDE):
            rgb = rgb.resize((SIDE, SIDE), Resampling.BICUBIC)
        arrays.append(np.asarray(rgb))
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255


def to_side(images: torch.Tensor) -> torch.Tensor:
    """The same for tensors [N, 3, H, W] in [0, 1], with a gradient."""
    from torch.nn.functional import interpolate

    if images.shape[-2:] == (SIDE, SIDE):
        return images.float()
    resized = interpolate(images.float(), (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(0, 1)


class ShapesReward(Reward):
    """A differentiable reward on 32x32 pictures; `score` runs the same tensors in chunks without a gradient."""

    version: ClassVar[str] = "shapes-1"
    differentiable: ClassVar[bool] = True
    weights: ClassVar[str] = "shipped"
    file: ClassVar[str | None] = None
    """What it needs in the world's weights folder."""

    @classmethod
    def missing(cls) -> str | None:
        if cls.file is None or (WEIGHTS / cls.file).exists():
            return None
        return f"{cls.file} of the shapes world is not in {WEIGHTS}"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        absent = self.missing()
        if absent:
            raise MissingError(f"{self.name} has no weights", absent, "bench shapes build --out DIR makes them")
        super().__init__(device)
        from benchbench.runtime.precision import exact_fp32

        exact_fp32()

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> torch.Tensor:
        import torch

        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} images for {len(prompts)} prompts")
        pixels, parts = to_tensor(images), [torch.zeros(0)]
        with torch.no_grad():
            for i in range(0, len(pixels), CHUNK):
                chunk = pixels[i : i + CHUNK].to(self.device)
                parts.append(self.score_differentiable(chunk, prompts[i : i + CHUNK]).float().cpu())
        return torch.cat(parts)
