"""The shapes world's aesthetic scorer: a small net trained on noisy opinions about a hidden rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from benchbench.shapes import WEIGHTS

from ._shapes import ShapesReward, to_side

if TYPE_CHECKING:
    import torch


class ShapesAesthetic(ShapesReward):
    """How much the world's annotators would like a picture; the prompt plays no part."""

    name: ClassVar[str] = "shapes-aesthetic"
    unit: ClassVar[str] = "points"
    range: ClassVar[tuple[float, float]] = (2.0, 8.0)
    file: ClassVar[str | None] = "aesthetic.safetensors"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        from safetensors.torch import load_file

        from benchbench.shapes.nets import AestheticNet

        net = AestheticNet()
        net.load_state_dict(load_file(WEIGHTS / "aesthetic.safetensors"))
        self.net = net.float().requires_grad_(False).eval().to(device)

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        return self.net(to_side(images))
