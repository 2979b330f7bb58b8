"""LAION's improved aesthetic predictor: a linear head on CLIP ViT-L/14, trained on people's ratings of 1 to 10."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from benchbench.api import Asset

from ._clip_reward import L14
from ._neural import NeuralReward

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

HEAD = "sac+logos+ava1-l14-linearMSE.pth"
SHA256 = "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0"


class Aesthetic(NeuralReward):
    """The rating that people would give an image, from 1 to 10; the prompt plays no part."""

    name: ClassVar[str] = "aesthetic"
    version: ClassVar[str] = "sac+logos+ava1-l14-linearMSE"
    unit: ClassVar[str] = "rating, 1 to 10"
    range: ClassVar[tuple[float, float]] = (3.0, 8.0)
    weights: ClassVar[str] = "openai/clip-vit-large-patch14 (MIT) and its head by LAION (Apache-2.0)"
    megabytes: ClassVar[int] = 420
    assets: ClassVar[tuple[Asset, ...]] = (
        L14,
        Asset(
            what="the head of the aesthetic predictor",
            repos=("sitatech/aesthetic-predictor-v2", "trl-lib/ddpo-aesthetic-predictor"),
            files=((HEAD, "aesthetic-model.pth"),),
            size="3.7 MB",
            licence="Apache-2.0",
            sha256={HEAD: SHA256, "aesthetic-model.pth": SHA256},
            url=f"https://raw.githubusercontent.com/christophschuhmann/improved-aesthetic-predictor/main/{HEAD}",
        ),
    )

    def load(self) -> None:
        from . import _clip, _head
        from ._weights import read

        (weights,), (head,) = (asset.paths() for asset in self.assets)
        self.vision = _clip.Vision(_clip.load(weights), _clip.OPENAI_L14, weights).to(self.device)
        self.head = _head.Head(read(head), head).to(self.device)
        self.side = self.vision.side

    def prepare(self, images: Sequence[Image]) -> Tensor:
        from ._preprocess import clip_pil

        return clip_pil(images, self.side, "round", rgb_first=False)

    def prepare_tensor(self, images: Tensor) -> Tensor:
        from ._preprocess import clip_tensor

        return clip_tensor(images, self.side, "round")

    def judge(self, pixels: Tensor, prompts: Sequence[str]) -> Tensor:
        from torch.nn.functional import normalize

        return self.head(normalize(self.vision(pixels), dim=-1))
