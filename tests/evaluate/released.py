"""Writes one and the same fine-tuned network in every layout that authors released theirs in, and a hub's cache."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

RANK, ALPHA = 2, 3.0
WEIGHTS = "diffusion_pytorch_model.safetensors"


def lora(unet_folder: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Returns A and B of the q, k, v and out projections of every attention, by layer."""
    state = load_file(unet_folder / WEIGHTS)
    generator = torch.Generator().manual_seed(5)
    found = {}
    for name, weight in state.items():
        layer = name.removesuffix(".weight")
        if layer.endswith((".to_q", ".to_k", ".to_v", ".to_out.0")):
            a = torch.randn(RANK, weight.shape[1], generator=generator)
            found[layer] = a, torch.randn(weight.shape[0], RANK, generator=generator)
    assert len(found) >= 8
    return found


def merged(base: Path, folder: Path, scale: float) -> Path:
    """Returns the pipeline with W + scale B A in the UNet, and with another VAE."""
    shutil.copytree(base, folder)
    state = load_file(base / "unet" / WEIGHTS)
    for layer, (a, b) in lora(base / "unet").items():
        state[f"{layer}.weight"] = state[f"{layer}.weight"] + scale * b @ a
    save_file(state, folder / "unet" / WEIGHTS, metadata={"format": "pt"})
    return folder


def write_lora(base: Path, folder: Path, form: str, prefix: str = "unet.") -> Path:
    """Writes a folder with a LoRA file in one of the known layouts; alpha is the rank, except with ``peft``."""
    folder.mkdir(parents=True)
    state, file = {}, folder / "pytorch_lora_weights.safetensors"
    for layer, (a, b) in lora(base / "unet").items():
        if form == "diffusers":
            down, up = f"{prefix}{layer}.lora.down.weight", f"{prefix}{layer}.lora.up.weight"
        elif form == "processor":
            head, _, last = layer.partition(".to_")
            last = last.removesuffix(".0")
            down, up = (f"{prefix}{head}.processor.to_{last}_lora.{side}.weight" for side in ("down", "up"))
        else:
            down, up = (f"base_model.model.{layer}.lora_{side}.weight" for side in "AB")
        state[down], state[up] = a, b
    if form == "peft":
        file = folder / "adapter_model.safetensors"
        targets = ["to_q", "to_k", "to_v", "to_out.0"]
        config = {"r": RANK, "lora_alpha": ALPHA, "target_modules": targets, "peft_type": "LORA"}
        (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, file)
    return folder


def cached(cache: Path, repo: str, files: Path) -> None:
    """Puts the files of a folder into a Hugging Face cache, as those of that repository."""
    root = cache / f"models--{repo.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    shutil.copytree(files, root / "snapshots" / ("0" * 40))
