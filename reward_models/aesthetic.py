"""LAION's improved aesthetic predictor: a linear head on CLIP ViT-L/14, trained on people's ratings of 1 to 10.

Imports torch and what needs it only inside functions: `bench list` reads the class attributes and must not load torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from benchbench.api import Asset

from ._clip_reward import L14
from ._neural import NeuralReward

if TYPE_CHECKING:
    from torch import Tensor

HEAD = "sac+logos+ava1-l14-linearMSE.pth"
SHA256 = "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0"


class Aesthetic(NeuralReward):
    """The predicted rating of an image by people, from 1 to 10. The prompt does not matter."""

    name: ClassVar[str] = "aesthetic"
    version: ClassVar[str] = "sac+logos+ava1-l14-linearMSE"
    unit: ClassVar[str] = "rating, 1 to 10"
    range: ClassVar[tuple[float, float]] = (3.0, 8.0)
    weights: ClassVar[str] = "openai/clip-vit-large-patch14 (MIT) and its head by LAION (Apache-2.0)"
    reads_prompt: ClassVar[bool] = False
    notes: ClassVar[tuple[str, ...]] = (
        "It follows improved-aesthetic-predictor. ddpo-pytorch gives its network pictures that were converted to RGB "
        "before the resize, and rounds the margin of the crop down; square RGB pictures get one score from both. "
        "bench score lays transparent pictures on white first, where improved-aesthetic-predictor shows the colours "
        "that the alpha channel hides.",
    )
    megabytes: ClassVar[int] = 420
    transform = "torchvision"
    own_asset: ClassVar[int] = 1
    assets: ClassVar[tuple[Asset, ...]] = (
        L14,
        Asset(
            title="the head of the aesthetic predictor",
            repos=("sitatech/aesthetic-predictor-v2", "trl-lib/ddpo-aesthetic-predictor"),
            files=((HEAD, "aesthetic-model.pth"),),
            size="3.7 MB",
            licence="Apache-2.0",
            sha256={HEAD: SHA256, "aesthetic-model.pth": SHA256},
            url=f"https://raw.githubusercontent.com/christophschuhmann/improved-aesthetic-predictor/main/{HEAD}",
        ),
    )

    def load(self) -> None:
        """Builds CLIP's image tower and the head."""
        from . import _clip, _head, _weights

        (weights,), (head,) = (asset.paths() for asset in self.assets)
        self.vision = _clip.Vision(_clip.load(weights), _clip.OPENAI_L14, weights).to(self.device)
        self.head = _head.Head(_weights.read(head), head).to(self.device)
        self.side = self.vision.side

    def score_pixels(self, pixels: Tensor, prompts: Sequence[str]) -> Tensor:
        """Returns the head's rating of the unit image embeddings, [N]."""
        from torch.nn.functional import normalize

        ratings: Tensor = self.head(normalize(self.vision(pixels), dim=-1))
        return ratings
