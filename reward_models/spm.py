"""SPO's released step-aware preference model for SD 1.5 (Liang et al., arXiv:2406.04314)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchbench.api import Asset, CorruptError, MissingError, StepScorer, hand_over

from ._clip_reward import H14_TOKENIZER

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

REPO = "SPO-Diffusion-Models/Step-Aware_Preference_Models"
FILE = "sd-v1-5_step-aware_preference_model.bin"
KEPT_LISTS = 8
"""On a CPU, lists of prompts whose embeddings are kept."""
KEPT = 512
"""Prompts whose embeddings stay on the device, 4 kB each."""
CHUNK = 64
"""Prompts that are read at a time."""


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

        from benchbench.runtime.precision import exact_fp32

        from ._adaln import StepAwareCLIP

        exact_fp32()
        checkpoint, folder = files()
        self.words = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        try:
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file and one with code in it raise many kinds
            raise CorruptError(f"{checkpoint} cannot be read", str(error).splitlines()[0], "fetch it again") from error
        self.network = StepAwareCLIP(CLIPModel(config()))
        self.network.load(state, str(checkpoint))
        self.network.requires_grad_(False).eval().to(device)
        self._known: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._lists: OrderedDict[tuple[str, ...], torch.Tensor] = OrderedDict()

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """[N, 3, H, W] in [0, 1]: short side to the tower's, bicubic without antialiasing, centre crop, normalised."""
        from torch.nn.functional import interpolate

        from ._preprocess import normalise

        side, (high, wide) = self.network.model.config.vision_config.image_size, images.shape[-2:]
        scale = side / min(high, wide)
        size = (max(side, round(high * scale)), max(side, round(wide * scale)))
        resized = interpolate(images.float(), size, mode="bicubic", align_corners=False).clamp(0, 1)
        top, left = (size[0] - side) // 2, (size[1] - side) // 2
        cut = resized[..., top : top + side, left : left + side]
        return normalise(cut)

    def expect(self, prompts: Sequence[str]) -> None:
        """On a GPU, reads all that are new together."""
        import torch

        device = torch.device(self.device)
        if device.type != "cpu" and prompts:
            self._read(list(dict.fromkeys(prompts))[:KEPT], device)

    def score_at(self, images: torch.Tensor, prompts: Sequence[str], tau: torch.Tensor) -> torch.Tensor:
        import torch

        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} images for {len(prompts)} prompts")
        if not len(images):
            return images.new_zeros(0)
        with torch.autocast(images.device.type, enabled=False):  # as in the other learned rewards
            read = self._read(prompts, images.device)
            return self.network.score(self.network.see(self.pixels(images), tau.to(images.device)), read)

    def _read(self, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        """Embeddings [N, D] of prompts, each read once on a GPU.

        On a CPU they are kept by the list and not by the prompt: the same prompt in another batch may be rounded
        otherwise, and a score must not depend on what was read before.
        """
        from ._prompts import look_up

        if device.type == "cpu":
            return look_up(self._lists, [tuple(prompts)], lambda new: [self._embed(new[0], device)], KEPT_LISTS)[0]
        return look_up(self._known, prompts, lambda new: self._embed(new, device), KEPT)

    def _embed(self, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        import torch

        from ._prompts import exactly

        length = self.network.model.config.text_config.max_position_embeddings
        tokens = self.words(
            list(prompts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        ).input_ids
        with exactly(device):
            return torch.cat([self.network.read(part) for part in hand_over(tokens, device).split(CHUNK)])

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        import torch

        return self.score_at(images, prompts, torch.zeros((), dtype=torch.int64, device=images.device))

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
