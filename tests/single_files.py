"""Writes the pipeline of a folder into one file, by the names of Stability AI's code, as people share models."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.ldm_names import open_clip_name, unet_blocks, unet_name, vae_name

UNET, VAE = "model.diffusion_model.", "first_stage_model."


def config(folder: Path, part: str) -> dict[str, object]:
    """The settings of a part."""
    settings: dict[str, object] = json.loads((folder / part / "config.json").read_text())
    return settings


def tensors(folder: Path, part: str) -> dict[str, Tensor]:
    """The tensors of a part by diffusers' or transformers' names."""
    file = "model" if part.startswith("text_encoder") else "diffusion_pytorch_model"
    return load_file(folder / part / f"{file}.safetensors")


def unet_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of the UNet by Stability AI's names."""
    blocks = unet_blocks(config(folder, "unet"))
    return {f"{UNET}{unet_name(name, blocks)}": tensor for name, tensor in tensors(folder, "unet").items()}


def vae_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of the VAE; the projections of its attention are convolutions there."""
    blocks = len(config(folder, "vae")["block_out_channels"])  # type: ignore[arg-type]
    state = {}
    for name, tensor in tensors(folder, "vae").items():
        kernel = ".attentions." in name and tensor.ndim == 2
        state[f"{VAE}{vae_name(name, blocks)}"] = tensor[:, :, None, None] if kernel else tensor
    return state


def clip_tensors(folder: Path, part: str, prefix: str) -> dict[str, Tensor]:
    """The tensors of a text encoder as transformers 4 wrote them, with the positions that it kept in a buffer."""
    state = {f"{prefix}transformer.text_model.{_bare(name)}": t for name, t in tensors(folder, part).items()}
    ids = torch.arange(len(state[f"{prefix}transformer.text_model.embeddings.position_embedding.weight"]))
    return state | {f"{prefix}transformer.text_model.embeddings.position_ids": ids[None]}


def open_clip_tensors(folder: Path, part: str, prefix: str) -> dict[str, Tensor]:
    """The tensors of a text encoder by open_clip's names, which joins the projections of an attention."""
    state, joined = {}, dict[str, list[Tensor]]()
    for name, tensor in tensors(folder, part).items():
        if name == "text_projection.weight":
            state[f"{prefix}model.text_projection"] = tensor.T
        elif any(f".{side}_proj." in name for side in "qkv"):
            number, end = _bare(name).split(".")[2], name.rpartition(".")[2]
            joined.setdefault(f"{prefix}model.transformer.resblocks.{number}.attn.in_proj_{end}", []).append(tensor)
        else:
            state[f"{prefix}model.{open_clip_name(_bare(name))}"] = tensor
    for name in list(joined):
        number, end = name.split(".")[-3], name.rpartition("_")[2]
        q, k, v = (_projection(folder, part, number, side, end) for side in "qkv")
        state[name] = torch.cat([q, k, v])
    return state | {f"{prefix}model.logit_scale": torch.tensor(4.6)}


def _projection(folder: Path, part: str, number: str, side: str, end: str) -> Tensor:
    wanted = f"encoder.layers.{number}.self_attn.{side}_proj.{end}"
    return next(tensor for name, tensor in tensors(folder, part).items() if name.endswith(wanted))


def _bare(name: str) -> str:
    return name.removeprefix("text_model.")


def buffers() -> dict[str, Tensor]:
    """Stability AI's code saves these besides: the noise schedule, and averages of weights."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square()
    kept = torch.cumprod(1 - betas, 0)
    state = {"betas": betas, "alphas_cumprod": kept, "sqrt_alphas_cumprod": kept.sqrt()}
    state = {name: tensor.float() for name, tensor in state.items()}
    return state | {"model_ema.decay": torch.tensor(0.9999), "model_ema.diffusion_modelout2weight": torch.zeros(3)}


def model_tensors(folder: Path, kind: str) -> dict[str, Tensor]:
    """The tensors of a whole model: of ``kind`` sd15, sd21 or sdxl."""
    state = unet_tensors(folder) | vae_tensors(folder)
    if kind == "sd15":
        return state | clip_tensors(folder, "text_encoder", "cond_stage_model.")
    if kind == "sd21":
        return state | open_clip_tensors(folder, "text_encoder", "cond_stage_model.")
    state |= clip_tensors(folder, "text_encoder", "conditioner.embedders.0.")
    return state | open_clip_tensors(folder, "text_encoder_2", "conditioner.embedders.1.")


def write(state: dict[str, Tensor], file: Path, dtype: torch.dtype | None = None, without: Iterable[str] = ()) -> Path:
    """Writes the tensors, in another precision or without those that begin so."""
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(tuple(without))}
    for name, tensor in kept.items():
        kept[name] = (tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor).contiguous().clone()
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, file, metadata={"format": "pt"})
    return file
