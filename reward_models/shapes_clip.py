"""The shapes world's CLIP score, by a CLIP that shares no weights with the pipeline's text tower."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from benchbench.shapes import WEIGHTS

from ._shapes import ShapesReward, to_side, to_tensor

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

KEPT = 8
"""Lists of prompts whose embeddings are kept: a rollout shows the same ones again at every step that it judges."""


class ShapesCLIP(ShapesReward):
    """Cosine of picture and prompt, times ten, by a CLIP that shares no weights with the pipeline's text tower."""

    name: ClassVar[str] = "shapes-clip"
    unit: ClassVar[str] = "10 cos"
    range: ClassVar[tuple[float, float]] = (-10.0, 10.0)
    file: ClassVar[str | None] = "clip"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        import torch
        from transformers import CLIPModel, CLIPTokenizer

        folder = WEIGHTS / str(self.file)
        self.words = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        model = CLIPModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        self.model = model.requires_grad_(False).eval().to(device)
        self._read: OrderedDict[tuple[str, ...], torch.Tensor] = OrderedDict()

    def tokens(self, prompts: Sequence[str]) -> torch.Tensor:
        """Token ids of prompts, int64 [N, L]."""
        length = self.model.config.text_config.max_position_embeddings
        ids: torch.Tensor = self.words(
            list(prompts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        ).input_ids
        return ids

    def features(self, images: Sequence[Image]) -> torch.Tensor:
        """What it sees of pictures, for comparing them with each other: unit vectors [N, D]."""
        import torch
        from torch.nn.functional import normalize

        with torch.no_grad():
            pixels = to_tensor(images).to(self.device)
            return normalize(
                self.model.visual_projection(self.model.vision_model(2 * pixels - 1).pooler_output), dim=-1
            )

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Of token ids [N, L]: [N, D]."""
        read: torch.Tensor = self.model.text_projection(self.model.text_model(tokens).pooler_output)
        return read

    def read(self, prompts: Sequence[str]) -> torch.Tensor:
        """Embeddings of prompts [N, D] on the model's device. They are kept by the list, not by the prompt: the same
        prompt in another batch may be rounded otherwise.
        """
        import torch

        from ._prompts import exactly

        key = tuple(prompts)
        if key not in self._read:
            with exactly(torch.device(self.device)):
                self._read[key] = self.embed(self.tokens(prompts).to(self.device))
        self._read.move_to_end(key)
        while len(self._read) > KEPT:
            self._read.popitem(last=False)
        return self._read[key]

    def cosine(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        """Cosine of each picture [N, 3, H, W] in [0, 1] with its prompt: [N]."""
        from torch.nn.functional import cosine_similarity

        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} images for {len(prompts)} prompts")
        if not len(images):
            return images.new_zeros(0)
        read = self.read(prompts)
        seen = self.model.visual_projection(self.model.vision_model(2 * to_side(images) - 1).pooler_output)
        return cosine_similarity(seen, read, dim=-1)

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        return 10 * self.cosine(images, prompts)
