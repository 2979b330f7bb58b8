"""The shapes world's oracle as a gold reward: it evaluates, and no method is trained on it.

Imports torch, numpy and what needs them only inside functions: `bench list` reads the class attributes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from benchbench.api import Reward
from benchbench.runtime.resize import resize

from ._shapes import SIDE

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


class ShapesOracle(Reward):
    """The fraction of the prompt's stated attributes that the image shows."""

    name: ClassVar[str] = "shapes-oracle"
    version: ClassVar[str] = "2"
    unit: ClassVar[str] = "fraction of stated attributes"
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    differentiable: ClassVar[bool] = False
    weights: ClassVar[str] = "none"
    trainable: ClassVar[bool] = False

    @classmethod
    def chance(cls, prompts: Sequence[str]) -> float:
        """Returns the mean share that pictures show of prompts that they were not made for."""
        from benchbench.shapes import oracle

        return sum(map(oracle.chance, prompts)) / max(len(prompts), 1)

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> torch.Tensor:
        """Returns the fractions, float32 [N]."""
        import numpy as np
        import torch
        from PIL.Image import Resampling

        from benchbench.shapes import oracle

        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} images for {len(prompts)} prompts")
        if not images:
            return torch.zeros(0)
        resized = [resize(image.convert("RGB"), (SIDE, SIDE), Resampling.BICUBIC) for image in images]
        return torch.from_numpy(oracle.score(np.stack([np.asarray(image) for image in resized]), prompts))
