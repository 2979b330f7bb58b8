"""The shapes world's preference score, trained as PickScore was (arXiv:2305.01569)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .shapes_clip import ShapesCLIP

if TYPE_CHECKING:
    import torch


class ShapesPref(ShapesCLIP):
    """exp(logit_scale) times the cosine: a difference is the log-odds that an annotator prefers one of two images."""

    name: ClassVar[str] = "shapes-pref"
    unit: ClassVar[str] = "logit"
    range: ClassVar[tuple[float, float]] = (-20.0, 20.0)
    file: ClassVar[str | None] = "pref"

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        """Returns scores [N] with a gradient, of images [N, 3, H, W] in [0, 1]."""
        scores: torch.Tensor = self.model.logit_scale.exp() * self.cosine(images, prompts)
        return scores
