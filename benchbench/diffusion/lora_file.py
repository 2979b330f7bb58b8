"""Reads a LoRA file of any trainer: the layers that it changes, each with its matrices and scale, or a refusal.

Libraries load what they find and leave the rest random or out. Here a file is either read wholly or refused, with the
cause and the remedy. Imports no diffusers and no peft.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from benchbench.diffusion import lora_names
from benchbench.diffusion.lora_checks import MERGE, SAVE_AGAIN, Parts, check_config, check_kind, check_layers
from benchbench.errors import CorruptError
from benchbench.runtime.json_files import parse_object, read_object
from benchbench.runtime.memory import out_of_memory

METADATA = "lora_adapter_metadata"
CONFIG = "adapter_config.json"
EPSILON = torch.finfo(torch.float32).eps
"""LyCORIS adds this to the norm by which DoRA divides; peft adds nothing."""


@dataclass
class Layer:
    """The adapter of one layer: W + scale B A, with A [r, in] and B [out, r]; a convolution's have two axes more.

    ``mid`` [r, r, k, k] stands between A and B in a convolution of LyCORIS (Tucker decomposition). ``magnitude`` is
    DoRA's, to which the changed weight is rescaled: [out, 1, ...] or [1, in, ...]. ``epsilon`` is added to its norm.
    """

    A: Tensor
    B: Tensor
    alpha: float
    bias: Tensor | None = None
    mid: Tensor | None = None
    magnitude: Tensor | None = None
    epsilon: float = 0.0

    @property
    def rank(self) -> int:
        """The rank r."""
        return len(self.A)


@dataclass
class LoraFile:
    """The layers of a LoRA file by the UNet's module name, and what peft needs to know besides."""

    layers: dict[str, Layer]
    rank_stabilized: bool = False
    dropout: float = 0.0

    @property
    def plain(self) -> bool:
        """True where every layer is W + scale B A and nothing else; peft computes B A beside the weights."""
        return all(layer.mid is None and layer.magnitude is None for layer in self.layers.values())

    def scale(self, layer: Layer) -> float:
        """Returns alpha / r, or alpha / √r for rsLoRA."""
        return layer.alpha / (math.sqrt(layer.rank) if self.rank_stabilized else layer.rank)

    def config(self) -> dict[str, Any]:
        """Returns the arguments of peft's LoraConfig, which name each layer's own rank and alpha."""
        first = next(iter(self.layers.values()))
        return {
            "r": first.rank,
            "lora_alpha": first.alpha,
            "rank_pattern": {f"^{re.escape(n)}": x.rank for n, x in self.layers.items() if x.rank != first.rank},
            "alpha_pattern": {f"^{re.escape(n)}": x.alpha for n, x in self.layers.items() if x.alpha != first.alpha},
            "target_modules": list(self.layers),
            "use_rslora": self.rank_stabilized,
            "lora_dropout": self.dropout,
            "lora_bias": any(layer.bias is not None for layer in self.layers.values()),
        }

    def state(self) -> dict[str, Tensor]:
        """Returns the tensors by peft's names."""
        state = {}
        for name, layer in self.layers.items():
            state[f"{name}.lora_A.weight"], state[f"{name}.lora_B.weight"] = layer.A, layer.B
            if layer.bias is not None:
                state[f"{name}.lora_B.bias"] = layer.bias
        return state


def read(file: Path, unet: Any) -> LoraFile:
    """Returns the content of a LoRA file for this UNet. Raises CorruptError, which names the cause.

    Every tensor of the file belongs to a layer of the UNet, every layer is whole and fits, and all values are finite.
    """
    tensors, config = _open(file)
    config = config if config is not None else _adapter_config(file)
    parts = _parts(file, tensors, unet)
    # peft leaves its wrappers in a network when an adapter is taken off
    modules = {name: getattr(module, "base_layer", module) for name, module in unet.named_modules()}
    check_layers(file, parts, modules)
    settings = config or {}
    check_config(file, settings, parts)
    layers = {name: _layer(file, config, name, part, modules[name].weight.ndim) for name, part in parts.items()}
    dropout = settings.get("lora_dropout", 0.0)
    return LoraFile(layers, bool(settings.get("use_rslora")), dropout if isinstance(dropout, float) else 0.0)


def _layer(file: Path, config: Mapping[str, Any] | None, name: str, part: Parts, axes: int) -> Layer:
    """Returns the adapter of one layer, whose weight has this number of axes."""
    tensors = part.tensors
    A, magnitude, epsilon = tensors["A"], tensors.get("dora_scale"), EPSILON
    rank, alpha = _rank_and_alpha(file, config, name, len(A))
    if rank != len(A):
        raise CorruptError(
            f"the adapter {file} contradicts itself",
            f"its settings say rank {rank} for {name}, its tensors have rank {len(A)}",
            f"{SAVE_AGAIN}, with the {CONFIG} that belongs to it",
        )
    if "alpha" in tensors:
        alpha = float(tensors["alpha"])
    if "magnitude" in tensors:
        # peft's is [out], or [1, out, 1, 1] for a convolution
        magnitude, epsilon = tensors["magnitude"].reshape(-1, *(1,) * (axes - 1)), 0.0
    return Layer(A, tensors["B"], alpha, tensors.get("bias"), tensors.get("mid"), magnitude, epsilon)


def _open(file: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Returns the tensors and the settings that diffusers saved with them; a ``.bin`` file runs no code."""
    try:
        if file.suffix == ".bin":
            loaded = torch.load(file, map_location="cpu", weights_only=True)
            if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
                raise ValueError("it holds something else than tensors by name")
            return loaded, None
        with safe_open(file, "pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118, no mapping
            text = (opened.metadata() or {}).get(METADATA)
        settings = parse_object(text) if text else {}
    except Exception as error:  # the readers of the two formats raise about ten classes of errors on damaged files
        if out_of_memory(error):
            raise
        raise CorruptError(
            f"the adapter {file} is damaged",
            (str(error).strip() or type(error).__name__).splitlines()[0],
            SAVE_AGAIN,
        ) from error
    prefixes = ("unet.", "transformer.")
    ours = {key.partition(".")[2]: value for key, value in settings.items() if key.startswith(prefixes)}
    return tensors, ours or None


def _adapter_config(file: Path) -> dict[str, Any] | None:
    """Returns peft's adapter_config.json beside the file, which contains alpha; None: alpha is the rank."""
    path = file.parent / CONFIG
    return read_object(path, "fetch the adapter again") if path.is_file() else None


def _parts(file: Path, tensors: Mapping[str, Tensor], unet: Any) -> dict[str, Parts]:
    """Returns the tensors by the UNet's layer and role. Raises CorruptError for a tensor of another kind."""
    check_kind(file, list(tensors))
    resolve, parts = lora_names.resolver(unet), dict[str, Parts]()
    adapters = set()
    for name, tensor in tensors.items():
        parsed = lora_names.parse(name)
        if parsed is None:
            if not any(map(lora_names.parse, tensors)):
                raise CorruptError(
                    f"{file} holds no LoRA",
                    f"none of its {len(tensors)} tensors is a part of one, such as {name}",
                    "name a LoRA file, or a folder with model_index.json or unet/: docs/models.md lists the layouts",
                )
            raise CorruptError(
                f"the adapter {file} is no plain LoRA", f"its tensor {name} is no part of a LoRA of a UNet", MERGE
            )
        adapters |= {parsed.adapter} if parsed.role != "alpha" else set()
        part = parts.setdefault(resolve(parsed.layer), Parts(parsed.layer))
        if parsed.role in part.tensors and len(adapters) == 1:
            raise CorruptError(f"the adapter {file} is ambiguous", f"{name} is there under two names", SAVE_AGAIN)
        part.tensors[parsed.role] = tensor
    if len(adapters) > 1:
        names = ", ".join(sorted(repr(name) if name else "one without a name" for name in adapters))
        raise CorruptError(
            f"{file} holds {len(adapters)} adapters",
            f"they are called {names}",
            "save one of them in a file of its own",
        )
    if not parts:
        raise CorruptError(f"the adapter {file} is empty", "it holds no tensors", SAVE_AGAIN)
    return parts


def _rank_and_alpha(file: Path, config: Mapping[str, Any] | None, layer: str, rank: int) -> tuple[int, float]:
    """Returns a layer's rank and alpha by peft's settings; without settings alpha is the rank, as diffusers has it."""
    if config is None:
        return rank, float(rank)
    try:
        ranks, alphas = config.get("rank_pattern") or {}, config.get("alpha_pattern") or {}
        return int(_match(ranks, layer, config.get("r", 8))), float(_match(alphas, layer, config.get("lora_alpha", 8)))
    except (TypeError, ValueError, AttributeError, re.error) as error:
        raise CorruptError(f"the settings of the adapter {file} cannot be read", str(error), SAVE_AGAIN) from error


def _match(patterns: Mapping[str, Any], layer: str, default: Any) -> Any:
    """Returns the value of the first pattern that is the end of the layer's name, as peft matches it."""
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", layer)), default)
