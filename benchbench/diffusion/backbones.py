"""Loads a base model from a diffusers folder: any Stable Diffusion 1.x, 2.x, XL or 3.x.

Imports diffusers and transformers only inside functions: they take seconds to load, and listing methods needs neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchbench.diffusion.compile import cache_signature
from benchbench.diffusion.network_kind import network_class
from benchbench.errors import CorruptError, UsageError
from benchbench.hub import borrowed, layout, models
from benchbench.hub.borrowed import Borrowed
from benchbench.hub.models import LocalModel
from benchbench.runtime.allocator import keep_freed_memory
from benchbench.runtime.json_files import read_object
from benchbench.runtime.memory import out_of_memory
from benchbench.runtime.precision import exact_fp32
from benchbench.runtime.quiet import silence_libraries

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Backbone:
    """A base model in memory, frozen. ``hash`` depends on weights and settings, not on the name."""

    name: str
    hash: str
    network: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: dict[str, Any]
    device: torch.device
    dtype: str
    image_size: int  # side length in pixels
    batch_size: int  # images generated or decoded at a time
    text_encoder_2: Any = None  # SDXL and SD 3
    tokenizer_2: Any = None
    text_encoder_3: Any = None
    """T5 in SD 3, which may lack it. For a GPU it stays in host memory: it is twice as large as the transformer."""
    tokenizer_3: Any = None
    t5_tokens: int | None = None
    """The number of T5 tokens of a prompt in SD 3, zeros where it has no T5; None for other models."""
    zeros_for_empty: bool = False  # guidance uses zeros in place of the encoded empty prompt

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """The shape (C, h, w) of one image's latents."""
        size = self.network.config.sample_size
        return (self.network.config.in_channels, size, size)


def pick_device(device: str | None) -> torch.device:
    """Returns the named device; None: CUDA where there is one, else the CPU. Raises UsageError for an unusable one."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch_device = torch.device(device)
        torch.empty(0, device=torch_device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"device {device!r} cannot be used", str(error).splitlines()[0], "see `bench doctor`"
        ) from error
    return torch_device


def pick_dtype(dtype: str, device: torch.device) -> str:
    """Returns the precision; ``auto`` becomes bf16 on a GPU that has it in hardware, else fp16, and fp32 without CUDA.

    NVIDIA GPUs older than Ampere (compute capability below 8.0: V100, T4) emulate bf16 and have fp16 in hardware.
    Raises UsageError for an unknown name.
    """
    if dtype in DTYPES:
        return dtype
    if dtype != "auto":
        raise UsageError(
            f"no precision is called {dtype!r}",
            f"there are auto, {', '.join(DTYPES)}",
            "choose one of these; auto takes the best one for the device",
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
    """Returns the base model (alias, folder, hub id, or a LocalModel), loaded from files on this machine.

    ``unet_dtype`` overrides ``dtype`` for a network that is trained in another precision than the rest.
    Raises MissingError (no weights here), UsageError (another pipeline) and CorruptError (damaged file).
    """
    from diffusers import AutoencoderKL

    silence_libraries()
    local = models.find(model)
    root = local.root
    layout.check_pipeline_class(root)
    models.weight_files(root)  # raises for a missing part
    scheduler = read_object(root / "scheduler" / "scheduler_config.json", layout.FETCH_AGAIN)
    torch_device = pick_device(str(device) if device is not None else None)
    if torch_device.type == "cpu":
        keep_freed_memory()
    cache_signature()
    exact_fp32()
    dtype, host = pick_dtype(dtype, torch_device), torch.device("cpu")
    own_vae, lent = layout.part_folder(root, "vae"), borrowed.read(root)
    vae_dtype = _vae_dtype(local.vae or own_vae, dtype, layout.is_xl(root))

    def network(network_class: Any, folder: Path, torch_dtype: torch.dtype) -> Any:
        device = host if folder.name == "text_encoder_3" else torch_device
        return _load_network(network_class, folder, torch_dtype, model).to(device).eval().requires_grad_(False)

    if lent and not local.vae and (part := lent.parts.get("vae")):
        vae = borrowed.load_part(part).to(torch_device, vae_dtype)
    else:
        vae = network(AutoencoderKL, local.vae or own_vae, vae_dtype)
    denoiser = layout.denoiser(root)
    backbone = Backbone(
        name=local.name,
        hash=local.hash,
        network=network(network_class(denoiser), root / denoiser, DTYPES[unet_dtype or dtype]),
        vae=vae,
        scheduler_config=scheduler,
        device=torch_device,
        dtype=dtype,
        image_size=layout.image_size(root),
        batch_size=layout.batch_size(root),
        zeros_for_empty=layout.zeros_for_empty(root),
        t5_tokens=layout.t5_tokens(root),
        **_text_parts(root, lent, partial(network, torch_dtype=DTYPES[dtype]), torch_device, DTYPES[dtype], model),
    )
    _check_fit(backbone)
    return backbone


def _text_parts(
    root: Path,
    lent: Borrowed | None,
    network: Callable[[Any, Path], Any],
    device: torch.device,
    dtype: torch.dtype,
    model: str | LocalModel,
) -> dict[str, Any]:
    """Returns the text encoders and tokenizers of a pipeline by name; lent parts come from another model."""
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, T5EncoderModel

    parts: dict[str, Any] = {}
    for name in layout.parts_of(root):
        if not name.startswith(("text_encoder", "tokenizer")):
            continue
        if name.startswith("tokenizer"):
            parts[name] = load_tokenizer(root, name, model)
        elif lent and (part := lent.parts.get(name)):
            parts[name] = borrowed.load_part(part).to(device, dtype)
        else:
            first = CLIPTextModelWithProjection if layout.is_sd3(root) else CLIPTextModel
            classes = {"text_encoder": first, "text_encoder_2": CLIPTextModelWithProjection}
            parts[name] = network(classes.get(name, T5EncoderModel), root / name)
    return parts


def _load_network(network_class: Any, folder: Path, dtype: torch.dtype, model: str | LocalModel) -> Any:
    """Returns the network in a folder. Raises CorruptError: every library error means a file with wrong content."""
    try:
        network, report = network_class.from_pretrained(
            folder,
            variant=models.variant(folder),
            use_safetensors=models.only_safetensors(folder),
            dtype=dtype,
            local_files_only=True,
            output_loading_info=True,
        )
        missing = sorted(report["missing_keys"])
        if missing:
            raise ValueError(f"{len(missing)} weights are not in the file and would stay random, first {missing[0]}")
        return network
    except Exception as error:  # of safetensors, OSError, ValueError, KeyError
        if out_of_memory(error):
            raise
        raise CorruptError(
            f"the {folder.name} of {model} cannot be loaded from {folder}",
            str(error).strip().splitlines()[0],
            "fetch or save the model again",
        ) from error


def load_tokenizer(root: Path, subfolder: str, model: str | LocalModel) -> Any:
    """Returns a tokenizer of a pipeline's folder. Raises CorruptError where it cannot be loaded."""
    from transformers import CLIPTokenizer, T5TokenizerFast

    tokenizer_class = T5TokenizerFast if subfolder == "tokenizer_3" else CLIPTokenizer
    try:
        if lent := borrowed.read(root):
            part = lent.parts.get(subfolder)
            if part:
                return borrowed.load_part(part)
        return tokenizer_class.from_pretrained(root, subfolder=subfolder, local_files_only=True)
    except Exception as error:
        if out_of_memory(error):
            raise
        cause = str(error).strip().splitlines()[0]
        raise CorruptError(f"the {subfolder} of {model} cannot be loaded", cause, "fetch the model again") from error


def _vae_dtype(folder: Path, dtype: str, xl: bool) -> torch.dtype:
    """Returns the precision of the VAE: float32 in place of fp16, in which SD's decoder and its gradient overflow.

    For SDXL it is float32 in place of bf16, too, as in SPO's code. A VAE with ``force_upcast: false`` in its config was
    made for half precision and stays in it.
    """
    upcast = read_object(folder / "config.json", layout.FETCH_AGAIN).get("force_upcast", True) and (
        xl or dtype == "fp16"
    )
    return torch.float32 if upcast else DTYPES[dtype]


def _check_fit(backbone: Backbone) -> None:
    """Raises UsageError for parts that do not fit together, or for latents with a coding that is not supported."""
    unet, vae = backbone.network.config, backbone.vae.config
    problem = ""
    if vae.latent_channels != unet.in_channels:
        problem = f"its VAE has {vae.latent_channels} latent channels, its network takes {unet.in_channels}"
    elif getattr(vae, "latents_mean", None) is not None:
        problem = "its VAE's latents are shifted (latents_mean)"
    elif backbone.t5_tokens is not None:
        clips = (backbone.text_encoder.config, backbone.text_encoder_2.config)
        pooled, text = sum(clip.projection_dim for clip in clips), sum(clip.hidden_size for clip in clips)
        t5 = backbone.text_encoder_3.config.d_model if backbone.text_encoder_3 is not None else unet.joint_attention_dim
        if pooled != unet.pooled_projection_dim or text > unet.joint_attention_dim or t5 != unet.joint_attention_dim:
            problem = (
                f"its transformer takes texts of {unet.joint_attention_dim} and {unet.pooled_projection_dim} numbers, "
                f"its text encoders give {max(text, t5)} and {pooled}"
            )
    elif backbone.text_encoder_2 is not None:
        width = 6 * unet.addition_time_embed_dim + backbone.text_encoder_2.config.projection_dim
        if width != unet.projection_class_embeddings_input_dim:
            problem = (
                f"its UNet takes {unet.projection_class_embeddings_input_dim} added conditions, SDXL gives {width}"
            )
    if problem:
        raise UsageError(f"the model {backbone.name} cannot be run", problem, "choose another model: bench list models")
