"""The shapes world's aesthetic scorer: a small network trained on noisy ratings by a hidden rule.

Imports torch and what needs it only inside functions: `bench list` reads the class attributes and must not load torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from benchbench.shapes import WEIGHTS

from ._shapes import ShapesReward, to_side

if TYPE_CHECKING:
    import torch


class ShapesAesthetic(ShapesReward):
    """The predicted rating of an image by the world's simulated annotators. The prompt does not matter."""

    name: ClassVar[str] = "shapes-aesthetic"
    unit: ClassVar[str] = "points"
    range: ClassVar[tuple[float, float]] = (2.0, 8.0)
    file: ClassVar[str | None] = "aesthetic.safetensors"
    reads_prompt: ClassVar[bool] = False

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        from safetensors.torch import load_file

        from benchbench.shapes.nets import AestheticNet

        network = AestheticNet()
        network.load_state_dict(load_file(WEIGHTS / "aesthetic.safetensors"))
        self.network = network.float().requires_grad_(False).eval().to(device)

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        """Returns ratings [N] with a gradient, of images [N, 3, H, W] in [0, 1]."""
        ratings: torch.Tensor = self.network(to_side(images))
        return ratings
