"""Rewards that are a multiple of the cosine of CLIP's image and prompt embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from benchbench.api import Asset

from ._neural import NeuralReward

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

TOKENIZER_FILES = (("vocab.json",), ("merges.txt",), ("tokenizer_config.json",), ("tokenizer.json",))
H14_TOKENIZER = Asset(
    what="CLIP's tokenizer",
    repos=("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "openai/clip-vit-large-patch14"),
    files=TOKENIZER_FILES,
    size="4 MB",
    licence="MIT",
)
L14 = Asset(
    what="CLIP ViT-L/14 of OpenAI",
    repos=("openai/clip-vit-large-patch14",),
    files=(("model.safetensors", "pytorch_model.bin"),),
    size="1.7 GB",
    licence="MIT",
)


class ClipReward(NeuralReward):
    """``scale`` times the cosine. ``assets`` are the weights and the tokenizer, in this order."""

    family: ClassVar[Literal["openai", "laion"]]
    transform: ClassVar[Literal["torchvision", "transformers", "letterbox"]]
    """Whose resize and crop: torchvision's and transformers' differ in an odd crop and in when they make RGB."""
    unescape: ClassVar[bool] = False
    """Whether the authors' tokenizer turns ``&amp;`` into ``&`` (OpenAI's and open_clip's do)."""

    def load(self) -> None:
        from . import _clip

        (weights,), tokenizer = self.assets[0].paths(), self.assets[1].paths()
        family = _clip.OPENAI_L14 if self.family == "openai" else _clip.LAION_H14
        state = _clip.load(weights)
        self.vision = _clip.Vision(state, family, weights).to(self.device)
        self.text = _clip.Text(state, family, weights, _clip.tokenizer(tokenizer[0].parent), self.unescape)
        self.side = self.vision.side
        self.logit_scale = float(state["logit_scale"].float().exp())

    @property
    def scale(self) -> float:
        """What the cosine is multiplied by."""
        return 1.0

    def prepare(self, images: Sequence[Image]) -> Tensor:
        from . import _preprocess as p

        if self.transform == "letterbox":
            return p.letterbox_pil(images, self.side)
        if self.transform == "transformers":
            return p.clip_pil(images, self.side, "floor", rgb_first=True)
        return p.clip_pil(images, self.side, "round", rgb_first=False)

    def prepare_tensor(self, images: Tensor) -> Tensor:
        from . import _preprocess as p

        if self.transform == "letterbox":
            return p.letterbox_tensor(images, self.side)
        return p.clip_tensor(images, self.side, "floor" if self.transform == "transformers" else "round")

    def features(self, images: Sequence[Image]) -> Tensor:
        """What it sees of pictures, for comparing them with each other: unit vectors [N, D]."""
        import torch
        from torch.nn.functional import normalize

        with torch.no_grad():
            return normalize(self.vision(self.prepare(images).to(self.device)), dim=-1)

    def expect(self, prompts: Sequence[str]) -> None:
        """On a GPU, to which the text tower is copied for every reading, reads all that are new together.

        On a CPU prompts are read as they come to be judged: their batch decides how they are rounded.
        """
        import torch

        device = torch.device(self.device)
        if device.type != "cpu" and prompts:
            self.text(list(dict.fromkeys(prompts))[: self.text.KEEP], device)

    def judge(self, pixels: Tensor, prompts: Sequence[str]) -> Tensor:
        from torch.nn.functional import normalize

        seen = normalize(self.vision(pixels), dim=-1)
        return self.scale * (seen * self.text(prompts, pixels.device)).sum(-1)
