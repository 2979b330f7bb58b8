"""ImageReward v1.0 (arXiv:2304.05977): BLIP trained on rankings, and a linear head on its first token."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from benchbench.api import Asset, hand_over

from ._neural import NeuralReward

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

MEAN, DEVIATION = 0.16717362830052426, 1.0333394966054072
"""Of the head's output over the authors' data, so that scores there have mean 0 and deviation 1."""
LENGTH = 35
"""Tokens of a prompt that are read."""
KEPT = 512
"""Prompts whose tokens stay on the device."""


class ImageReward(NeuralReward):
    """How much people prefer an image for a prompt, in deviations from the mean of the authors' data."""

    name: ClassVar[str] = "imagereward"
    version: ClassVar[str] = "v1.0"
    unit: ClassVar[str] = "deviations from the mean"
    range: ClassVar[tuple[float, float]] = (-2.5, 2.5)
    weights: ClassVar[str] = "zai-org/ImageReward, ImageReward.pt (Apache-2.0)"
    megabytes: ClassVar[int] = 300
    assets: ClassVar[tuple[Asset, ...]] = (
        Asset(
            what="ImageReward v1.0",
            repos=("zai-org/ImageReward", "THUDM/ImageReward"),
            files=(("ImageReward.safetensors", "ImageReward.pt"),),
            size="1.8 GB",
            licence="Apache-2.0",
        ),
        Asset(
            what="BERT's tokenizer",
            repos=("google-bert/bert-base-uncased", "bert-base-uncased"),
            files=(("vocab.txt",), ("tokenizer_config.json",), ("tokenizer.json",)),
            size="0.7 MB",
            licence="Apache-2.0",
        ),
    )

    def load(self) -> None:
        from . import _blip, _head
        from ._weights import part, read

        (weights,), tokenizer = (asset.paths() for asset in self.assets)
        state = read(weights)
        vision, text = _blip.towers(state, weights)
        self.vision, self.text = vision.to(self.device), text.to(self.device)
        self.head = _head.Head(part(state, "mlp."), weights).to(self.device)
        self.tokenizer = _blip.tokenizer(tokenizer[0].parent)
        self.side = self.vision.side
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    def prepare(self, images: Sequence[Image]) -> Tensor:
        from ._preprocess import clip_pil

        return clip_pil(images, self.side, "round", rgb_first=False)

    def prepare_tensor(self, images: Tensor) -> Tensor:
        from ._preprocess import clip_tensor

        return clip_tensor(images, self.side, "round")

    def judge(self, pixels: Tensor, prompts: Sequence[str]) -> Tensor:
        from ._prompts import look_up

        known = look_up(self._known, prompts, lambda new: self._tokens(new, pixels.device), KEPT)
        ids, mask = known.unbind(1)
        return (self.head(self.text(ids, mask, self.vision(pixels))) - MEAN) / DEVIATION

    def _tokens(self, prompts: list[str], device: torch.device) -> Tensor:
        """Token ids and their mask, int64 [N, 2, LENGTH], on the device."""
        import torch

        words = self.tokenizer(prompts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
        return hand_over(torch.stack([words.input_ids, words.attention_mask], 1), device)
