"""Loads a base model's parts from a diffusers folder: any Stable Diffusion 1.x or 2.x with epsilon prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from benchbench.diffusion import models
from benchbench.errors import CorruptError, UsageError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Backbone:
    """A base model in memory, frozen. ``hash`` is of the weights and settings, whatever the model was called."""

    name: str
    hash: str
    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: dict[str, Any]
    device: torch.device
    dtype: str
    image_size: int  # side of the images in pixels
    batch_size: int  # images made or decoded at a time

    @property
    def is_shapes(self) -> bool:
        return models.is_shapes(self.name)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of one image's latents."""
        size = self.unet.config.sample_size
        return (self.unet.config.in_channels, size, size)


def pick_device(device: str | None) -> torch.device:
    """The named device, or CUDA where there is one."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"device {device!r} cannot be used", str(error).splitlines()[0], "see `bench doctor`"
        ) from error
    return chosen


def pick_dtype(dtype: str, device: torch.device) -> str:
    """``auto`` is bf16 on CUDA and fp32 elsewhere, where bf16 is slower."""
    if dtype == "auto":
        return "bf16" if device.type == "cuda" else "fp32"
    return dtype


def load(model: str, device: str | torch.device | None = None, dtype: str = "auto") -> Backbone:
    """The base model by alias, folder or hub id, from files on this machine.

    Errors: MissingError (weights not here), UsageError (v-prediction, another pipeline), CorruptError (damaged file).
    """
    import diffusers.utils.logging as diffusers_log
    import transformers.utils.logging as transformers_log
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    for log in (diffusers_log, transformers_log):
        log.disable_progress_bar()
        log.set_verbosity_error()
    root = models.folder(model)
    models.check_kind(root)
    files = models.weight_files(root)
    scheduler = _json(root / "scheduler" / "scheduler_config.json")
    where = pick_device(str(device) if device is not None else None)
    name = pick_dtype(dtype, where)
    kind = DTYPES[name]
    # fp16 overflows in SD's decoder and in its backward pass, so that part stays in fp32
    vae_kind = torch.float32 if name == "fp16" else kind

    def part(cls: Any, sub: str, dtype: torch.dtype) -> Any:
        variant = "fp16" if any(".fp16." in p.name for p in files[sub]) else None
        try:
            loaded = cls.from_pretrained(root, subfolder=sub, variant=variant, dtype=dtype, local_files_only=True)
        except (
            Exception
        ) as error:  # safetensors, OSError, ValueError, KeyError: all mean a file that is not what it says
            raise CorruptError(
                f"the {sub} of {model} cannot be loaded from {root / sub}",
                str(error).strip().splitlines()[0],
                "fetch or save the model again",
            ) from error
        return loaded.to(where).eval().requires_grad_(False)

    try:
        tokenizer = CLIPTokenizer.from_pretrained(root, subfolder="tokenizer", local_files_only=True)
    except Exception as error:
        raise CorruptError(
            f"the tokenizer of {model} cannot be loaded", str(error).strip().splitlines()[0], "fetch the model again"
        ) from error
    return Backbone(
        name=model,
        hash=models.content_hash(root),
        unet=part(UNet2DConditionModel, "unet", kind),
        vae=part(AutoencoderKL, "vae", vae_kind),
        text_encoder=part(CLIPTextModel, "text_encoder", kind),
        tokenizer=tokenizer,
        scheduler_config=scheduler,
        device=where,
        dtype=name,
        image_size=models.image_size(root),
        batch_size=models.batch_size(root),
    )


def _json(path: Any) -> dict[str, Any]:
    import json

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptError(f"{path} cannot be read", str(error), "fetch the model again") from error
