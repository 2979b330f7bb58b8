"""ImageReward v1.0 (arXiv:2304.05977): BLIP trained on rankings, and a linear head on its first token.

Imports torch and what needs it only inside functions: `bench list` reads the class attributes and must not load torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from benchbench.api import Asset, copy_to_device

from ._neural import NeuralReward
from ._tokens import count_longer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MEAN, DEVIATION = 0.16717362830052426, 1.0333394966054072
"""Mean and deviation of the head's output on the authors' data; normalised scores there have mean 0, deviation 1."""
LENGTH = 35
"""Tokens of a prompt that the network reads; longer prompts are cut."""
CACHED = 512
"""Prompts whose tokens stay on the device."""


class ImageReward(NeuralReward):
    """People's preference for an image given a prompt, in standard deviations from the mean of the authors' data."""

    name: ClassVar[str] = "imagereward"
    version: ClassVar[str] = "v1.0"
    unit: ClassVar[str] = "deviations from the mean"
    range: ClassVar[tuple[float, float]] = (-2.5, 2.5)
    weights: ClassVar[str] = "zai-org/ImageReward, ImageReward.pt (Apache-2.0)"
    megabytes: ClassVar[int] = 300
    notes: ClassVar[tuple[str, ...]] = (
        "It reads the first 35 tokens of a prompt, start and end tokens included, which cuts 17 to 44 % of people's "
        "prompts; the rest of a longer prompt plays no part.",
    )
    transform = "torchvision"
    assets: ClassVar[tuple[Asset, ...]] = (
        Asset(
            title="ImageReward v1.0",
            repos=("zai-org/ImageReward", "THUDM/ImageReward"),
            files=(("ImageReward.safetensors", "ImageReward.pt"),),
            size="1.8 GB",
            licence="Apache-2.0",
        ),
        Asset(
            title="BERT's tokenizer",
            repos=("google-bert/bert-base-uncased", "bert-base-uncased"),
            files=(("vocab.txt",), ("tokenizer_config.json",), ("tokenizer.json",)),
            size="0.7 MB",
            licence="Apache-2.0",
        ),
    )

    def load(self) -> None:
        """Builds BLIP's two towers, the head and the tokenizer."""
        from . import _blip, _head, _prompts, _weights

        (weights,), tokenizer = (asset.paths() for asset in self.assets)
        state = _weights.read(weights)
        vision, text = _blip.towers(state, weights)
        self.vision, self.text = vision.to(self.device), text.to(self.device)
        self.head = _head.Head(_weights.part(state, "mlp."), weights).to(self.device)
        self.tokenizer = _blip.tokenizer(tokenizer[0].parent)
        self.side = self.vision.side
        self.tokens = _prompts.PromptCache[str](CACHED)

    def score_pixels(self, pixels: Tensor, prompts: Sequence[str]) -> Tensor:
        """Returns the head's normalised output, [N]."""
        tokens = self.tokens.get(prompts, lambda new: self._tokenize(new, pixels.device), pixels.device)
        ids, mask = tokens.unbind(1)
        rewards: Tensor = self.head(self.text(ids, mask, self.vision(pixels)))
        return (rewards - MEAN) / DEVIATION

    def cut(self, prompts: Sequence[str]) -> tuple[int, int]:
        """Returns how many prompts are longer than ``LENGTH`` tokens, and ``LENGTH``."""
        return count_longer(self.tokenizer, prompts, LENGTH), LENGTH

    def _tokenize(self, prompts: list[str], device: torch.device) -> Tensor:
        """Returns token ids and their mask, int64 [N, 2, LENGTH], on the device."""
        import torch

        words = self.tokenizer(prompts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
        return copy_to_device(torch.stack([words.input_ids, words.attention_mask], 1), device)
