"""Colourfulness (Hasler and Suesstrunk, Measuring colourfulness in natural images, 2003): a formula, no weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ._shapes import ShapesReward, to_side

if TYPE_CHECKING:
    import torch

TINY = 1e-8
"""Keeps the gradients of the square roots finite on images of one colour; adds at most 1.3e-5 to a score."""


def colourfulness(images: torch.Tensor) -> torch.Tensor:
    """Returns the authors' measure, on the scale of 0 to 255, divided by ten: [N] of images [N, 3, H, W] in [0, 1]."""
    red, green, blue = (255 * images.float()).flatten(2).unbind(1)
    rg, yb = red - green, (red + green) / 2 - blue
    spread = rg.var(1, correction=0) + yb.var(1, correction=0)
    centre = rg.mean(1).square() + yb.mean(1).square()
    return ((spread + TINY).sqrt() + 0.3 * (centre + TINY).sqrt()) / 10


class ShapesColour(ShapesReward):
    """Colourfulness of an image. The prompt does not matter."""

    name: ClassVar[str] = "shapes-colour"
    version: ClassVar[str] = "formula"
    unit: ClassVar[str] = "colourfulness / 10"
    range: ClassVar[tuple[float, float]] = (0.0, 25.0)
    weights: ClassVar[str] = "none"
    reads_prompt: ClassVar[bool] = False

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        """Returns the colourfulness [N] with a gradient, of images [N, 3, H, W] in [0, 1]."""
        return colourfulness(to_side(images))
