"""Stable Diffusion 1.5 and XL with random weights, drawn on the device and never written, for the code that trains.

A model is named by a folder that holds its settings and its tokenizer alone; ``without_files`` makes benchbench's own
loading build the networks from them. At tiny size the folder is a whole pipeline and is loaded as any other.
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
from benchbench.hub import models
from benchbench.hub.models import LocalModel
from tests.bench import random_models
from tests.gpu.here import Here


def folder(here: Here, model: str) -> Path:
    """The folder of ``sd15`` or ``sdxl``: settings alone at real size, a whole pipeline at tiny size."""
    place = here.work / f"{model}-{'tiny' if here.tiny else 'settings'}"
    if (place / "model_index.json").is_file():
        return place
    shutil.rmtree(place, ignore_errors=True)  # of a writer that was killed
    if not here.tiny:
        return random_models.write_settings(place, model)
    from tests.tiny import write_tiny_sd
    from tests.tiny_xl import write_tiny_sdxl

    return write_tiny_sdxl(place) if model == "sdxl" else write_tiny_sd(place)


def written(here: Here) -> Path:
    """The folder of a whole SD 1.5 pipeline in bf16, for what has to read one: 2 GB, written once."""
    if here.tiny:
        return folder(here, "sd15")
    place, partial = here.work / "sd15-written", here.work / "sd15-partial"
    if not (place / "model_index.json").is_file():
        shutil.rmtree(partial, ignore_errors=True)
        random_models.write(partial, "sd15", here.device).rename(place)
    return place


@contextmanager
def without_files(here: Here) -> Iterator[None]:
    """Within the block ``backbones.load`` draws the weights of a folder that has none."""
    if here.tiny:
        yield
        return
    with mock.patch.object(backbones, "load", pretend if here.size == "fake" else load):
        yield


def pretend(
    model: str | LocalModel,
    device: str | torch.device | None = None,
    dtype: str = "auto",
    unet_dtype: str | None = None,
) -> Backbone:
    """Loads as ``backbones.load`` does, with fake weights and real tokenizers; within ``fake_cuda`` only."""
    from benchbench.diffusion.fake_cuda import fake_backbone

    made = fake_backbone(str(model), backbones.pick_dtype(dtype, torch.device("cuda")), unet_dtype)
    return replace(made, **_tokenizers(Path(str(model))))


def load(
    model: str | LocalModel,
    device: str | torch.device | None = None,
    dtype: str = "auto",
    unet_dtype: str | None = None,
) -> Backbone:
    """Loads as ``backbones.load`` does, with weights drawn by seed 0, the same in every precision."""
    root = Path(str(model))
    where = backbones.pick_device(str(device) if device is not None else None)
    name, xl = backbones.pick_dtype(dtype, where), models.is_xl(root)
    torch.manual_seed(0)
    with torch.device(where):
        parts = random_models.networks("sdxl" if xl else "sd15")
    kinds = dict.fromkeys(parts, DTYPES[name]) | {"unet": DTYPES[unet_dtype or name]}
    kinds["vae"] = backbones._vae_dtype(root / "vae", name, xl)
    made = {part: net.to(kinds[part]).eval().requires_grad_(False) for part, net in parts.items()}
    return Backbone(
        name=str(model),
        hash="random weights by seed 0",
        network=made["unet"],
        vae=made["vae"],
        text_encoder=made["text_encoder"],
        scheduler_config=backbones._json(root / "scheduler" / "scheduler_config.json"),
        device=where,
        dtype=name,
        image_size=models.image_size(root),
        batch_size=models.batch_size(root),
        text_encoder_2=made.get("text_encoder_2"),
        zeros_for_empty=models.zeros_for_empty(root),
        **_tokenizers(root),
    )


def _tokenizers(root: Path) -> dict[str, Any]:
    """By the names of the Backbone's fields."""
    from transformers import CLIPTokenizer

    names = ("tokenizer", "tokenizer_2") if models.is_xl(root) else ("tokenizer",)
    return {name: CLIPTokenizer.from_pretrained(root, subfolder=name, local_files_only=True) for name in names}


def loaded(here: Here, model: str, dtype: str, unet_dtype: str | None = None) -> Backbone:
    """The model on the device, through whichever loading its size has."""
    with without_files(here):
        return backbones.load(str(folder(here, model)), here.device, dtype, unet_dtype)


def move_adapter(unet: Any, size: float = 0.02) -> None:
    """A trained adapter's stand-in: every B is moved off zero, by a seed, alike on every device and in every dtype."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if ".lora_B." in name:
                rows = torch.randn(parameter.shape, generator=draw) * size / math.sqrt(parameter.shape[1])
                parameter.copy_(rows.to(parameter))
