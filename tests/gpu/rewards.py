"""Provides the learned rewards with random weights in their released layouts, drawn on the device.

At real size the networks are those of the released files; at tiny size they are read from small files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchbench.reward_models import _adaln, _clip, _weights, spm
from benchbench.rewards import lookup
from tests.bench import rewards as released
from tests.gpu.context import StepContext
from tests.reward_models import checkpoints

LEARNED = ("aesthetic", "imagereward", "hpsv2.1", "pickscore", "clip_h14", "clip_l14", "spm", "spm-sdxl")
LARGEST = 0.02  # standard deviation of a weight; with 0.08, as in small checkpoints, large towers saturate


class OnDevice(checkpoints.Random):
    """Draws a checkpoint's tensors on the device, which takes seconds and not a CPU's minutes."""

    device = "cpu"

    def __init__(self, seed: int) -> None:
        self.state = checkpoints.State()
        torch.manual_seed(seed)

    def put(self, name: str, *shape: int, scale: float = 0.08, shift: float = 0.0) -> None:
        self.state[name] = torch.randn(shape, device=self.device).mul_(min(scale, LARGEST)).add_(shift)


@contextmanager
def random_weights(context: StepContext) -> Iterator[None]:
    """Gives every learned reward that is made within the block random weights."""
    with ExitStack() as undo:
        enter = undo.enter_context
        enter(mock.patch.dict(os.environ, {"BENCH_WEIGHTS": str(files(context))}))
        for name in LEARNED:
            kind = lookup.get(name)
            enter(mock.patch.object(kind, "assets", tuple(replace(asset, sha256={}) for asset in kind.assets)))
        place = files(context) / "CLIP-ViT-H-14-laion2B-s32B-b79K"
        enter(mock.patch.object(spm, "files", lambda _: (place / "model.safetensors", place)))
        enter(mock.patch.object(spm.SPM, "missing", classmethod(lambda cls: None)))
        enter(mock.patch.object(spm.SPM, "__init__", _spm(context)))
        if not context.tiny:
            enter(mock.patch.object(OnDevice, "device", context.device))
            enter(mock.patch.object(checkpoints, "Random", OnDevice))
            for module in (_clip, _weights):
                enter(mock.patch.object(module, "read", released.state))
        yield


def files(context: StepContext) -> Path:
    """Returns the folder of the small files and of the tokenizers that both sizes use; writes it once."""
    folder, partial = context.work / "weights", context.work / "weights-partial"
    with context.alone():
        if not folder.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            checkpoints.write(partial).rename(folder)
    return folder


def _spm(context: StepContext) -> Any:
    """Returns a constructor of SPO's scorer that draws the network in place of reading its file."""
    from transformers import CLIPModel

    plain = spm.SPM.__init__

    def make(self: Any, device: Any = "cpu") -> None:
        def clip(config: Any) -> Any:
            with torch.device(device):
                return CLIPModel(config)

        with (
            mock.patch("transformers.CLIPModel", clip),
            mock.patch.object(spm, "config", _small if context.tiny else spm.config),
            mock.patch.object(_weights, "read", lambda *_: {}),
            mock.patch.object(_adaln.StepAwareCLIP, "load", lambda *_: None),
        ):
            plain(self, device)
        _settle(self.network)

    return make


def _settle(network: Any) -> None:
    """Moves the step-aware layers off their initial values, at which the timestep has no effect."""
    with torch.no_grad():
        for parameter in network.added_parameters().values():
            parameter.add_(LARGEST * torch.randn_like(parameter))


def _small() -> Any:
    """Returns a small CLIP config with the tiny tokenizer's vocabulary."""
    from transformers import CLIPConfig

    both = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    words = len(checkpoints.CLIP_WORDS)
    ends = {"bos_token_id": words - 2, "eos_token_id": words - 1, "pad_token_id": words - 1}
    text = both | ends | {"vocab_size": words, "max_position_embeddings": checkpoints.LENGTH}
    vision = both | {"patch_size": 8, "image_size": checkpoints.SIDE}
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=checkpoints.DIM)
