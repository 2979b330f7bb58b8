"""Provides Stable Diffusion 1.5 and XL with random weights, which are drawn on the device and not written to disk.

A model's folder holds its settings and tokenizers alone; within ``without_files``, benchbench's own loading builds the
networks from them. At tiny size the folder is a complete pipeline, which is loaded as any other.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchbench.diffusion import backbones
from benchbench.diffusion.backbones import DTYPES, Backbone
from benchbench.hub import layout
from benchbench.hub.models import LocalModel
from benchbench.runtime.json_files import read_object
from tests.bench import random_models
from tests.gpu.context import StepContext


def folder(context: StepContext, model: str) -> Path:
    """Returns the folder of ``sd15`` or ``sdxl``: settings alone at real size, a complete pipeline at tiny size."""
    model_folder = context.work / f"{model}-{'tiny' if context.tiny else 'settings'}"
    with context.alone():
        if not (model_folder / "model_index.json").is_file():
            shutil.rmtree(model_folder, ignore_errors=True)  # left by a process that was killed
            _write_folder(context, model, model_folder)
    return model_folder


def _write_folder(context: StepContext, model: str, model_folder: Path) -> None:
    from tests.tiny import write_tiny_sd
    from tests.tiny_xl import write_tiny_sdxl

    if not context.tiny:
        random_models.write_settings(model_folder, model)
    elif model == "sdxl":
        write_tiny_sdxl(model_folder)
    else:
        write_tiny_sd(model_folder)


def written(context: StepContext) -> Path:
    """Returns the folder of a complete SD 1.5 pipeline in bf16 (2 GB), which is written once."""
    if context.tiny:
        return folder(context, "sd15")
    model_folder, partial = context.work / "sd15-written", context.work / "sd15-partial"
    with context.alone():
        if not (model_folder / "model_index.json").is_file():
            shutil.rmtree(partial, ignore_errors=True)
            random_models.write(partial, "sd15", context.device).rename(model_folder)
    return model_folder


@contextmanager
def without_files(context: StepContext) -> Iterator[None]:
    """Makes ``backbones.load`` draw the weights of a folder without any, within the block."""
    if context.tiny:
        yield
        return
    with mock.patch.object(backbones, "load", pretend if context.size == "fake" else load):
        yield


def pretend(
    model: str | LocalModel,
    device: str | torch.device | None = None,
    dtype: str = "auto",
    unet_dtype: str | None = None,
) -> Backbone:
    """Loads as ``backbones.load`` does, with fake weights and real tokenizers; within ``fake_cuda`` only."""
    from benchbench.diffusion.fake_cuda import fake_backbone

    backbone = fake_backbone(str(model), backbones.pick_dtype(dtype, torch.device("cuda")), unet_dtype)
    return replace(backbone, **_tokenizers(Path(str(model))))


def load(
    model: str | LocalModel,
    device: str | torch.device | None = None,
    dtype: str = "auto",
    unet_dtype: str | None = None,
) -> Backbone:
    """Loads as ``backbones.load`` does, with weights drawn by seed 0, the same in every precision."""
    root = Path(str(model))
    target = backbones.pick_device(str(device) if device is not None else None)
    name, xl = backbones.pick_dtype(dtype, target), layout.is_xl(root)
    torch.manual_seed(0)
    with torch.device(target):
        parts = random_models.networks("sdxl" if xl else "sd15")
    dtypes = dict.fromkeys(parts, DTYPES[name]) | {"unet": DTYPES[unet_dtype or name]}
    dtypes["vae"] = backbones._vae_dtype(root / "vae", name, xl)
    loaded_parts = {part: net.to(dtypes[part]).eval().requires_grad_(False) for part, net in parts.items()}
    return Backbone(
        name=str(model),
        hash="random weights by seed 0",
        network=loaded_parts["unet"],
        vae=loaded_parts["vae"],
        text_encoder=loaded_parts["text_encoder"],
        scheduler_config=read_object(root / "scheduler" / "scheduler_config.json", layout.FETCH_AGAIN),
        device=target,
        dtype=name,
        image_size=layout.image_size(root),
        batch_size=layout.batch_size(root),
        text_encoder_2=loaded_parts.get("text_encoder_2"),
        zeros_for_empty=layout.zeros_for_empty(root),
        **_tokenizers(root),
    )


def _tokenizers(root: Path) -> dict[str, Any]:
    """Returns the tokenizers by the names of the Backbone's fields."""
    from transformers import CLIPTokenizer

    names = ("tokenizer", "tokenizer_2") if layout.is_xl(root) else ("tokenizer",)
    return {name: CLIPTokenizer.from_pretrained(root, subfolder=name, local_files_only=True) for name in names}


def loaded(context: StepContext, model: str, dtype: str, unet_dtype: str | None = None) -> Backbone:
    """Loads a model onto the device, in the way that fits its size."""
    with without_files(context):
        return backbones.load(str(folder(context, model)), context.device, dtype, unet_dtype)


def move_adapter(unet: Any, size: float = 0.02) -> None:
    """Imitates training: moves every B off zero by numbers that are the same on each device and in each dtype."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if ".lora_B." in name:
                rows = torch.randn(parameter.shape, generator=draw) * size / math.sqrt(parameter.shape[1])
                parameter.copy_(rows.to(parameter))
