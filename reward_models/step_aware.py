"""SPO's released step-aware preference model for SD 1.5 (Liang et al., arXiv:2406.04314)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchbench.api import StepScorer
from benchbench.assets import Asset
from benchbench.errors import CorruptError, MissingError

from ._clip_reward import H14_TOKENIZER

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

REPO = "SPO-Diffusion-Models/Step-Aware_Preference_Models"
FILE = "sd-v1-5_step-aware_preference_model.bin"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def config() -> Any:
    """CLIP ViT-H/14 as LAION trained it, which PickScore and this model were fine-tuned from."""
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


def files() -> tuple[Path, Path]:
    """The checkpoint, and the tokenizer's folder, both checked. Errors: MissingError, CorruptError."""
    (checkpoint,), words = (asset.paths() for asset in SPM.assets)
    return checkpoint, words[0].parent


class SPM(StepScorer):
    """exp(logit_scale) times the cosine of prompt and picture, given the timestep; finished pictures are at timestep 0.

    Pictures are resized without antialiasing, as they were in its training.
    """

    name: ClassVar[str] = "spm"
    version: ClassVar[str] = "sd-v1-5"
    unit: ClassVar[str] = "100 cos"
    range: ClassVar[tuple[float, float]] = (0.0, 40.0)
    differentiable: ClassVar[bool] = True
    weights: ClassVar[str] = f"{REPO} ({FILE})"
    assets: ClassVar[tuple[Asset, ...]] = (
        Asset(
            what="SPO's step-aware preference model",
            repos=(REPO,),
            files=((FILE,),),
            size="5.2 GB",
            licence="Apache-2.0",
        ),
        H14_TOKENIZER,
    )

    def __init__(self, device: torch.device | str = "cpu") -> None:
        absent = self.missing()
        if absent:
            raise MissingError("the reward spm has no weights", absent, "bench fetch --rewards spm")
        super().__init__(device)
        import torch
        from transformers import CLIPModel, CLIPTokenizer

        from ._adaln import StepAwareCLIP

        checkpoint, folder = files()
        self.words = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        try:
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file and one with code in it raise many kinds
            raise CorruptError(f"{checkpoint} cannot be read", str(error).splitlines()[0], "fetch it again") from error
        self.network = StepAwareCLIP(CLIPModel(config()))
        self.network.load(state, str(checkpoint))
        self.network.requires_grad_(False).eval().to(device)

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """[N, 3, H, W] in [0, 1]: short side to the tower's, bicubic without antialiasing, centre crop, normalised."""
        from torch.nn.functional import interpolate

        side, (high, wide) = self.network.model.config.vision_config.image_size, images.shape[-2:]
        scale = side / min(high, wide)
        size = (max(side, round(high * scale)), max(side, round(wide * scale)))
        resized = interpolate(images.float(), size, mode="bicubic", align_corners=False).clamp(0, 1)
        top, left = (size[0] - side) // 2, (size[1] - side) // 2
        cut = resized[..., top : top + side, left : left + side]
        return (cut - cut.new_tensor(MEAN).view(3, 1, 1)) / cut.new_tensor(STD).view(3, 1, 1)

    def score_at(self, images: torch.Tensor, prompts: Sequence[str], tau: torch.Tensor) -> torch.Tensor:
        import torch

        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} images for {len(prompts)} prompts")
        if not len(images):
            return images.new_zeros(0)
        length = self.network.model.config.text_config.max_position_embeddings
        tokens = self.words(
            list(prompts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        ).input_ids
        with torch.no_grad():
            read = self.network.read(tokens.to(images.device))
        return self.network.score(self.network.see(self.pixels(images), tau.to(images.device)), read)

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        import torch

        return self.score_at(images, prompts, torch.zeros((), dtype=torch.int64))

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> torch.Tensor:
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
