"""Rewards that are a multiple of the cosine of CLIP's image and prompt embeddings.

Imports torch and what needs it only inside functions: `bench list` reads the class attributes and must not load torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from benchbench.api import Asset

from ._neural import NeuralReward
from ._tokens import count_longer

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

READS_77 = "It reads the first 77 tokens of a prompt, start and end tokens included."
TOKENIZER_FILES = (("vocab.json",), ("merges.txt",), ("tokenizer_config.json",), ("tokenizer.json",))
H14_TOKENIZER = Asset(
    title="CLIP's tokenizer",
    repos=("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "openai/clip-vit-large-patch14"),
    files=TOKENIZER_FILES,
    size="4 MB",
    licence="MIT",
)
L14 = Asset(
    title="CLIP ViT-L/14 of OpenAI",
    repos=("openai/clip-vit-large-patch14",),
    files=(("model.safetensors", "pytorch_model.bin"),),
    size="1.7 GB",
    licence="MIT",
)


class ClipReward(NeuralReward):
    """``scale`` times the cosine. ``assets`` are the weights and the tokenizer, in this order."""

    family: ClassVar[Literal["openai", "laion"]]
    cleans: ClassVar[bool] = False
    """True where the authors' tokenizer first cleans prompts, as those of OpenAI and of open_clip do.

    It repairs broken Unicode, makes typographic quotes, ligatures and full-width letters plain ones, and turns
    ``&amp;`` into ``&``.
    """

    def load(self) -> None:
        """Builds both towers and the tokenizer."""
        from . import _clip

        (weights,), tokenizer = self.assets[0].paths(), self.assets[1].paths()
        family = _clip.OPENAI_L14 if self.family == "openai" else _clip.LAION_H14
        state = _clip.load(weights)
        self.vision = _clip.Vision(state, family, weights).to(self.device)
        self.text = _clip.Text(state, family, weights, _clip.tokenizer(tokenizer[0].parent), self.cleans)
        self.side = self.vision.side
        self.logit_scale = float(state["logit_scale"].float().exp())

    @property
    def scale(self) -> float:
        """The factor on the cosine."""
        return 1.0

    def features(self, images: Sequence[Image]) -> Tensor:
        """Returns the image embeddings, unit vectors [N, D], for comparing images with each other."""
        import torch
        from torch.nn.functional import normalize

        with torch.no_grad():
            return normalize(self.vision(self.prepare(images).to(self.device)), dim=-1)

    def cut(self, prompts: Sequence[str]) -> tuple[int, int]:
        """Returns how many prompts are longer than what the text tower reads, and its number of tokens."""
        return count_longer(self.text.tokenizer, self.text.cleaned(prompts), self.text.length), self.text.length

    def expect(self, prompts: Sequence[str]) -> None:
        """Encodes all new prompts in one batch on a GPU, since the text tower is copied there for each batch.

        On a CPU nothing is encoded ahead, because the batch of a prompt decides how its embedding is rounded.
        """
        import torch

        device = torch.device(self.device)
        if device.type != "cpu" and prompts:
            self.text(list(dict.fromkeys(prompts))[: self.text.cache.size], device)

    def score_pixels(self, pixels: Tensor, prompts: Sequence[str]) -> Tensor:
        """Returns ``scale`` times the cosine, [N]."""
        from torch.nn.functional import normalize

        image_embeddings = normalize(self.vision(pixels), dim=-1)
        scores: Tensor = self.scale * (image_embeddings * self.text(prompts, pixels.device)).sum(-1)
        return scores
