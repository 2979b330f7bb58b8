"""Loads a base model's parts from a diffusers folder: any Stable Diffusion 1.x, 2.x or XL with epsilon prediction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchbench.diffusion.compile import keep_signature
from benchbench.errors import CorruptError, UsageError
from benchbench.hub import models
from benchbench.hub.models import LocalModel
from benchbench.runtime.allocator import keep_freed_memory
from benchbench.runtime.json_files import read_object
from benchbench.runtime.precision import exact_fp32

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Backbone:
    """A base model in memory, frozen. ``hash`` is of the weights and settings, whatever the model was called."""

    name: str
    hash: str
    network: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: dict[str, Any]
    device: torch.device
    dtype: str
    image_size: int  # side of the images in pixels
    batch_size: int  # images made or decoded at a time
    text_encoder_2: Any = None  # of SDXL
    tokenizer_2: Any = None
    zeros_for_empty: bool = False  # guidance goes away from zeros, not from the empty prompt's encoding

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of one image's latents."""
        size = self.network.config.sample_size
        return (self.network.config.in_channels, size, size)


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
    """``auto`` is bf16 on a GPU that computes in it, fp16 on one that only emulates it, and fp32 without CUDA.

    NVIDIA GPUs older than Ampere (compute capability below 8.0: V100, T4) emulate bf16 and have fp16 in hardware.
    Errors: UsageError for an unknown word.
    """
    if dtype in DTYPES:
        return dtype
    if dtype != "auto":
        raise UsageError(
            f"no precision is called {dtype!r}",
            f"there are auto, {', '.join(DTYPES)}",
            "choose one of these; auto takes what the device is best at",
        )
    if device.type != "cuda":
        return "fp32"
    native = torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] >= 8
    return "bf16" if native else "fp16"


def load(
    model: str | LocalModel,
    device: str | torch.device | None = None,
    dtype: str = "auto",
    unet_dtype: str | None = None,
) -> Backbone:
    """The base model by alias, folder or hub id, or as it was found, from files on this machine.

    ``unet_dtype`` is for a UNet whose weights are trained in another precision than that of everything else.
    Errors: MissingError (weights not here), UsageError (v-prediction, another pipeline), CorruptError (damaged file).
    """
    import diffusers.utils.logging as diffusers_log
    import transformers.utils.logging as transformers_log
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    for log in (diffusers_log, transformers_log):
        log.disable_progress_bar()
        log.set_verbosity_error()
    here = models.find(model)
    root = here.root
    models.check_pipeline_class(root)
    models.weight_files(root)  # raises for a part that is missing
    scheduler = read_object(root / "scheduler" / "scheduler_config.json", models.FETCH_AGAIN)
    where = pick_device(str(device) if device is not None else None)
    if where.type == "cpu":
        keep_freed_memory()
    keep_signature()
    exact_fp32()
    name = pick_dtype(dtype, where)
    kind = DTYPES[name]
    vae_root = here.vae or root / "vae"

    def part(cls: Any, folder: Path, dtype: torch.dtype) -> Any:
        try:
            loaded = cls.from_pretrained(folder, variant=models.variant(folder), dtype=dtype, local_files_only=True)
        except (
            Exception
        ) as error:  # safetensors, OSError, ValueError, KeyError: all mean a file that is not what it says
            raise CorruptError(
                f"the {folder.name} of {model} cannot be loaded from {folder}",
                str(error).strip().splitlines()[0],
                "fetch or save the model again",
            ) from error
        return loaded.to(where).eval().requires_grad_(False)

    def tokenizer(sub: str) -> Any:
        try:
            return CLIPTokenizer.from_pretrained(root, subfolder=sub, local_files_only=True)
        except Exception as error:
            first = str(error).strip().splitlines()[0]
            raise CorruptError(f"the {sub} of {model} cannot be loaded", first, "fetch the model again") from error

    xl = models.is_xl(root)
    backbone = Backbone(
        name=here.name,
        hash=here.hash,
        network=part(UNet2DConditionModel, root / "unet", DTYPES[unet_dtype or name]),
        vae=part(AutoencoderKL, vae_root, _vae_dtype(vae_root, name, xl)),
        text_encoder=part(CLIPTextModel, root / "text_encoder", kind),
        tokenizer=tokenizer("tokenizer"),
        scheduler_config=scheduler,
        device=where,
        dtype=name,
        image_size=models.image_size(root),
        batch_size=models.batch_size(root),
        text_encoder_2=part(CLIPTextModelWithProjection, root / "text_encoder_2", kind) if xl else None,
        tokenizer_2=tokenizer("tokenizer_2") if xl else None,
        zeros_for_empty=models.zeros_for_empty(root),
    )
    _check_fit(backbone)
    return backbone


def _vae_dtype(folder: Path, dtype: str, xl: bool) -> torch.dtype:
    """fp32 instead of fp16, in which SD's decoder overflows, and its backward pass too.

    For SDXL instead of bf16 as well, as SPO's code has it. A VAE whose config says ``force_upcast: false`` was made for
    half precision and stays in it.
    """
    upcast = read_object(folder / "config.json", models.FETCH_AGAIN).get("force_upcast", True) and (
        xl or dtype == "fp16"
    )
    return torch.float32 if upcast else DTYPES[dtype]


def _check_fit(backbone: Backbone) -> None:
    """Raises UsageError for parts that do not go together, or latents that are coded in a way we do not decode."""
    unet, vae = backbone.network.config, backbone.vae.config
    problem = ""
    if vae.latent_channels != unet.in_channels:
        problem = f"its VAE has {vae.latent_channels} latent channels, its UNet takes {unet.in_channels}"
    elif getattr(vae, "latents_mean", None) is not None:
        problem = "its VAE's latents are shifted (latents_mean)"
    elif backbone.text_encoder_2 is not None:
        wide = 6 * unet.addition_time_embed_dim + backbone.text_encoder_2.config.projection_dim
        if wide != unet.projection_class_embeddings_input_dim:
            problem = f"its UNet takes {unet.projection_class_embeddings_input_dim} added conditions, SDXL gives {wide}"
    if problem:
        raise UsageError(f"the model {backbone.name} cannot be run", problem, "choose another model: bench list models")
