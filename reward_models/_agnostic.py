"""SPO's preference model without its timestep (arXiv:2406.04314, Table 4): a CLIP trained on noisy predictions."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import normalize

from ._adaln import StepAwareCLIP

TOWER = ("model.vision_model.", "model.visual_projection.")


class StepAgnosticCLIP(StepAwareCLIP):
    """A transformers CLIPModel whose image tower is trained, where the step-aware one has added layers for that."""

    def __init__(self, clip: Any) -> None:
        nn.Module.__init__(self)
        self.model = clip

    def embed_images(self, pixels: Tensor, tau: Tensor) -> Tensor:
        """Returns unit embeddings [N, D] of normalised images [N, 3, side, side], whatever ``tau`` is."""
        return normalize(self.model.visual_projection(self.model.vision_model(pixels).pooler_output), dim=-1)

    def added_parameters(self) -> dict[str, nn.Parameter]:
        """Returns the parameters of the image tower, by name."""
        return {name: p for name, p in self.named_parameters() if name.startswith(TOWER)}
