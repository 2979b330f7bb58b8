"""SPO's released step-aware preference model for SD 1.5 (Liang et al., arXiv:2406.04314).

Imports torch and what needs it only inside functions: `bench list` reads the class attributes and must not load torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchbench.api import Asset, MissingError, StepScorer, copy_to_device

from ._clip_reward import H14_TOKENIZER, READS_77
from ._exact import use_exact_fp32
from ._tokens import count_longer

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

REPO = "SPO-Diffusion-Models/Step-Aware_Preference_Models"
FILE = "sd-v1-5_step-aware_preference_model.bin"
CACHED_LISTS = 8
"""Lists of prompts whose embeddings are cached on a CPU."""
CACHED_PROMPTS = 512
"""Prompts whose embeddings are cached on a GPU, 4 kB each."""
CHUNK = 64
"""Prompts that are encoded at a time."""


def config() -> Any:
    """Returns the config of LAION's CLIP ViT-H/14, from which PickScore and this model were fine-tuned."""
    from transformers import CLIPConfig

    text: dict[str, Any] = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
    }
    text |= {"vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407, "hidden_act": "gelu"}
    vision: dict[str, Any] = {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
    }
    vision |= {"patch_size": 14, "image_size": 224, "hidden_act": "gelu"}
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=1024)


def checkpoint_file(name: str) -> Asset:
    """Returns the asset of one base model's checkpoint. Its hash is recorded when it is first used."""
    return Asset(
        title="SPO's step-aware preference model", repos=(REPO,), files=((name,),), size="5.2 GB", licence="Apache-2.0"
    )


def files(assets: Sequence[Asset]) -> tuple[Path, Path]:
    """Returns the checkpoint and the tokenizer's folder, both checked. Raises MissingError or CorruptError."""
    (checkpoint,), tokenizer = (asset.paths() for asset in assets)
    return checkpoint, tokenizer[0].parent


class SPM(StepScorer):
    """exp(logit_scale) times the cosine of prompt and image, given the timestep; finished images have timestep 0.

    Images are resized without antialiasing, as in its training.
    """

    name: ClassVar[str] = "spm"
    version: ClassVar[str] = "sd-v1-5"
    base: ClassVar[str] = "sd15"
    unit: ClassVar[str] = "100 cos"
    range: ClassVar[tuple[float, float]] = (0.0, 40.0)
    differentiable: ClassVar[bool] = True
    weights: ClassVar[str] = f"{REPO} ({FILE})"
    notes: ClassVar[tuple[str, ...]] = (READS_77,)
    assets: ClassVar[tuple[Asset, ...]] = (checkpoint_file(FILE), H14_TOKENIZER)

    def __init__(self, device: torch.device | str = "cpu") -> None:
        missing = self.missing()
        if missing:
            raise MissingError(f"the reward {self.name} has no weights", missing, f"bench fetch --rewards {self.name}")
        super().__init__(device)
        from transformers import CLIPModel, CLIPTokenizer

        from . import _adaln, _preprocess, _prompts, _weights

        use_exact_fp32()
        checkpoint, folder = files(self.assets)
        self.tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        state = _weights.read(checkpoint)
        self.network = _adaln.StepAwareCLIP(CLIPModel(config()))
        self.network.load(state, str(checkpoint))
        self.network.requires_grad_(False).eval().to(device)
        self.preprocess, self.too_long = _preprocess.aliased_tensor, _preprocess.too_long
        self.by_prompt = _prompts.PromptCache[str](CACHED_PROMPTS)
        self.by_list = _prompts.PromptCache[tuple[str, ...]](CACHED_LISTS)

    def cut(self, prompts: Sequence[str]) -> tuple[int, int]:
        """Returns how many prompts are longer than what the text tower reads, and its number of tokens."""
        length = self.network.model.config.text_config.max_position_embeddings
        return count_longer(self.tokenizer, prompts, length), length

    def refuses(self, width: int, height: int) -> str | None:
        """Returns why images of this size cannot be resized, or None."""
        return self.too_long(width, height, self.network.model.config.vision_config.image_size)

    def expect(self, prompts: Sequence[str]) -> None:
        """Encodes all new prompts in one batch on a GPU."""
        import torch

        device = torch.device(self.device)
        if device.type != "cpu" and prompts:
            self._embed_prompts(list(dict.fromkeys(prompts))[:CACHED_PROMPTS], device)

    def score_at(self, images: torch.Tensor, prompts: Sequence[str], tau: torch.Tensor) -> torch.Tensor:
        """Returns scores [N] with a gradient, of images [N, 3, H, W] in [0, 1] at timestep ``tau``."""
        import torch

        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} images for {len(prompts)} prompts")
        if not len(images):
            return images.new_zeros(0)
        with torch.autocast(images.device.type, enabled=False):  # as in the other learned rewards
            text = self._embed_prompts(prompts, images.device)
            pixels = self.preprocess(images, self.network.model.config.vision_config.image_size)
            return self.network.score(self.network.embed_images(pixels, tau.to(images.device)), text)

    def _embed_prompts(self, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        """Returns embeddings [N, D] of prompts.

        They are cached by prompt on a GPU. On a CPU they are cached by the list of prompts: a prompt in another batch
        may be rounded differently, and a score must not depend on earlier calls.
        """
        if device.type == "cpu":
            return self.by_list.get([tuple(prompts)], lambda lists: [self._encode(lists[0], device)], device)[0]
        return self.by_prompt.get(prompts, lambda new: self._encode(new, device), device)

    def _encode(self, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        """Returns embeddings [N, D] of prompts, computed in chunks."""
        import torch

        length = self.network.model.config.text_config.max_position_embeddings
        tokens = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        ).input_ids
        chunks = torch.split(copy_to_device(tokens, device), CHUNK)
        return torch.cat([self.network.embed_text(chunk) for chunk in chunks])

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        """Returns scores [N] of finished images, that is at timestep 0."""
        import torch

        return self.score_at(images, prompts, torch.zeros((), dtype=torch.int64, device=images.device))

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> torch.Tensor:
        """Returns scores for evaluation, float32 [N] on the CPU, one image at a time."""
        import numpy as np
        import torch

        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} images for {len(prompts)} prompts")
        scores = [torch.zeros(0)]
        with torch.no_grad():
            for image, prompt in zip(images, prompts, strict=True):  # they may differ in size
                pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 255
                scores.append(self.score_differentiable(pixels.to(self.device), [prompt]).float().cpu())
        return torch.cat(scores)
