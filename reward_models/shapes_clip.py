"""The shapes world's CLIP score, by a CLIP that shares no weights with the pipeline's text encoder.

Imports torch and what needs it only inside functions: `bench list` reads the class attributes and must not load torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from benchbench.api import CorruptError
from benchbench.runtime.quiet import silence_libraries
from benchbench.shapes import WEIGHTS

from ._shapes import ShapesReward, to_side, to_tensor
from ._tokens import count_longer

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

CACHED = 8
"""Lists of prompts whose embeddings are cached: a rollout scores the same list at several steps."""


class ShapesCLIP(ShapesReward):
    """Ten times the cosine of image and prompt."""

    name: ClassVar[str] = "shapes-clip"
    unit: ClassVar[str] = "10 cos"
    range: ClassVar[tuple[float, float]] = (-10.0, 10.0)
    file: ClassVar[str | None] = "clip"
    takes_own_file: ClassVar[bool] = True
    """``assets`` of a reward with weights of the user's own have their file; all else is the shipped folder's."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        import torch
        from transformers import CLIPModel, CLIPTokenizer

        from ._prompts import PromptCache
        from ._weights import fill, read

        silence_libraries()  # transformers, which this reward may be the first to import
        folder = WEIGHTS / str(self.file)
        self.tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        model, report = CLIPModel.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
        if absent := sorted(report["missing_keys"]):
            raise CorruptError(
                f"{folder} is not a whole CLIP",
                f"{len(absent)} of its weights are missing, such as {absent[0]}",
                "install the package again, or build the world again: bench shapes build --out FOLDER",
            )
        if self.assets:
            (own,) = self.assets[0].paths()
            model = fill(lambda: CLIPModel(model.config), read(own), own)
        self.model = model.requires_grad_(False).eval().to(device)
        self.cache = PromptCache[tuple[str, ...]](CACHED)

    def tokens(self, prompts: Sequence[str]) -> torch.Tensor:
        """Returns token ids of prompts, int64 [N, L]."""
        length = self.model.config.text_config.max_position_embeddings
        ids: torch.Tensor = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        ).input_ids
        return ids

    def cut(self, prompts: Sequence[str]) -> tuple[int, int]:
        """Returns how many prompts are longer than what the text tower reads, and its number of tokens."""
        length = self.model.config.text_config.max_position_embeddings
        return count_longer(self.tokenizer, prompts, length), length

    def features(self, images: Sequence[Image]) -> torch.Tensor:
        """Returns the image embeddings, unit vectors [N, D], for comparing images with each other."""
        import torch
        from torch.nn.functional import normalize

        with torch.no_grad():
            pixels = to_tensor(images).to(self.device)
            return normalize(
                self.model.visual_projection(self.model.vision_model(2 * pixels - 1).pooler_output), dim=-1
            )

    def embed_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Returns embeddings [N, D] of token ids [N, L]."""
        embeddings: torch.Tensor = self.model.text_projection(self.model.text_model(tokens).pooler_output)
        return embeddings

    def embed_prompts(self, prompts: Sequence[str]) -> torch.Tensor:
        """Returns embeddings [N, D] of prompts on the model's device.

        They are cached by the list and not by the prompt, because a prompt in another batch may be rounded differently.
        """
        import torch

        device = torch.device(self.device)
        return self.cache.get(
            [tuple(prompts)], lambda lists: [self.embed_text(self.tokens(lists[0]).to(self.device))], device
        )[0]

    def cosine(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        """Returns the cosine of each image [N, 3, H, W] in [0, 1] with its prompt: [N]."""
        from torch.nn.functional import cosine_similarity

        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} images for {len(prompts)} prompts")
        if not len(images):
            return images.new_zeros(0)
        text = self.embed_prompts(prompts)
        vision = self.model.visual_projection(self.model.vision_model(2 * to_side(images) - 1).pooler_output)
        return cosine_similarity(vision, text, dim=-1)

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        """Returns scores [N] with a gradient, of images [N, 3, H, W] in [0, 1]."""
        return 10 * self.cosine(images, prompts)
