"""Reads a LoRA file of any trainer: the layers that it changes, each with its matrices and scale, or a refusal.

Libraries load what they find and leave the rest random or out. Here a file is either read wholly or refused, with the
cause and the remedy. Imports no diffusers and no peft.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from benchbench.diffusion import lora_names
from benchbench.diffusion.lora_names import DORA, LYCORIS, TEXT_ENCODER
from benchbench.errors import CorruptError
from benchbench.runtime.json_files import parse_object, read_object
from benchbench.runtime.memory import out_of_memory

METADATA = "lora_adapter_metadata"
CONFIG = "adapter_config.json"
PLAIN_INITS = (True, False, None, "gaussian", "eva", "orthogonal")
"""The initialisations of peft that leave the base model's weights as they are."""
NOT_PLAIN = (
    *("use_qalora", "alora_invocation_tokens", "layer_replication", "target_parameters", "trainable_token_indices"),
    *("modules_to_save", "velora_config", "monteclora_config", "use_bdlora", "arrow_config", "kasa_config"),
)
"""The settings of peft that make an adapter something else than W + s B A."""
MERGE = "merge it into the model in its trainer, and evaluate the merged folder: --checkpoint FOLDER"
SAVE_AGAIN = "save or fetch it again"


@dataclass
class Layer:
    """The adapter of one layer: W + scale B A, with A [r, in] and B [out, r]; a convolution's have two axes more."""

    A: Tensor
    B: Tensor
    alpha: float
    bias: Tensor | None = None

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


@dataclass
class _Parts:
    """The tensors of one layer, by role, and the layer's name in the file."""

    name: str
    tensors: dict[str, Tensor] = field(default_factory=dict)


def read(file: Path, unet: Any) -> LoraFile:
    """Returns the content of a LoRA file for this UNet. Raises CorruptError, which names the cause.

    Every tensor of the file belongs to a layer of the UNet, every layer is whole and fits, and all values are finite.
    """
    tensors, config = _open(file)
    config = config if config is not None else _adapter_config(file)
    parts = _parts(file, tensors, unet)
    # peft leaves its wrappers in a network when an adapter is taken off
    _check_layers(file, parts, {name: getattr(m, "base_layer", m) for name, m in unet.named_modules()})
    _check_config(file, config or {})
    layers = {}
    for name, part in parts.items():
        A, B = part.tensors["A"], part.tensors["B"]
        rank, alpha = _rank_and_alpha(file, config, name, len(A))
        if rank != len(A):
            raise CorruptError(
                f"the adapter {file} contradicts itself",
                f"its settings say rank {rank} for {name}, its tensors have rank {len(A)}",
                f"{SAVE_AGAIN}, with the {CONFIG} that belongs to it",
            )
        if "alpha" in part.tensors:
            alpha = float(part.tensors["alpha"])
        layers[name] = Layer(A, B, alpha, part.tensors.get("bias"))
    settings = config or {}
    dropout = settings.get("lora_dropout", 0.0)
    return LoraFile(layers, bool(settings.get("use_rslora")), dropout if isinstance(dropout, float) else 0.0)


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
            "train it again, or resume the run: bench train ... --resume",
        ) from error
    ours = {key.removeprefix("unet."): value for key, value in settings.items() if key.startswith("unet.")}
    return tensors, ours or None


def _adapter_config(file: Path) -> dict[str, Any] | None:
    """Returns peft's adapter_config.json beside the file, which contains alpha; None: alpha is the rank."""
    path = file.parent / CONFIG
    return read_object(path, "fetch the adapter again") if path.is_file() else None


def _parts(file: Path, tensors: Mapping[str, Tensor], unet: Any) -> dict[str, _Parts]:
    """Returns the tensors by the UNet's layer and role. Raises CorruptError for a tensor of another kind."""
    _check_kind(file, list(tensors))
    resolve, parts = lora_names.resolver(unet), dict[str, _Parts]()
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
        part = parts.setdefault(resolve(parsed.layer), _Parts(parsed.layer))
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


def _check_kind(file: Path, names: list[str]) -> None:
    """Raises CorruptError for tensors that need other mathematics, or another network, than a LoRA on the UNet."""

    def refuse(problem: str, found: list[str], cause: str, remedy: str) -> None:
        if found:
            raise CorruptError(problem, f"{len(found)} of its {len(names)} tensors {cause}, such as {found[0]}", remedy)

    plain = f"the adapter {file} is no plain LoRA"
    found = [name for name in names if LYCORIS.search(name)]
    refuse(plain, found, "are of a LyCORIS method (LoHa, LoKr, OFT, full differences), which is not supported", MERGE)
    found = [name for name in names if any(mark in name for mark in DORA)]
    refuse(plain, found, "are magnitudes of DoRA, which is not supported and without which it is another model", MERGE)
    found = [name for name in names if name.startswith(TEXT_ENCODER)]
    remedy = "train or save it for the UNet alone (sd-scripts: --network_train_unet_only)"
    changes = f"the adapter {file} changes the text encoder, too"
    refuse(changes, found, "are for the text encoder, which is not supported", remedy)


def _check_layers(file: Path, parts: Mapping[str, _Parts], modules: Mapping[str, Any]) -> None:
    """Raises CorruptError for layers that the UNet lacks, halves of layers, other shapes and values not finite."""
    other = f"the adapter {file} belongs to another model"
    remedy = "evaluate it with the model that it was trained on (for a run of ours, `bench show run` names it)"
    adapted = (torch.nn.Linear, torch.nn.Conv2d)
    unknown = [part.name for name, part in parts.items() if not isinstance(modules.get(name), adapted)]
    if unknown:
        cause = f"{len(unknown)} of its {len(parts)} layers are not in this model, such as {unknown[0]}"
        raise CorruptError(other, cause, remedy)
    halves = [part for part in parts.values() if not {"A", "B"} <= set(part.tensors)]
    if halves:
        absent = "A (down)" if "A" not in halves[0].tensors else "B (up)"
        cause = f"{len(halves)} of its {len(parts)} layers are not whole: {halves[0].name} has no {absent}"
        raise CorruptError(f"the adapter {file} is incomplete", cause, SAVE_AGAIN)
    biases = [part for part in parts.values() if "bias" not in part.tensors]
    if biases and len(biases) < len(parts):
        cause = f"{len(biases)} of its {len(parts)} layers have no bias of B, such as {biases[0].name}"
        raise CorruptError(f"the adapter {file} is incomplete", cause, SAVE_AGAIN)
    for name, part in parts.items():
        tensors, weight = part.tensors, modules[name].weight.shape
        A, B, rank = tensors["A"].shape, tensors["B"].shape, len(tensors["A"]) if tensors["A"].ndim else 0
        wanted_A, wanted_B = (rank, *weight[1:]), (weight[0], rank, *(1 for _ in weight[2:]))
        if tuple(A) != wanted_A or tuple(B) != wanted_B or not rank:
            shapes = f"A {tuple(A)} and B {tuple(B)} where this model's weight is {tuple(weight)}"
            raise CorruptError(other, f"{part.name} has another shape: {shapes}", remedy)
        if tensors.get("alpha", torch.zeros(1)).numel() != 1:
            raise CorruptError(f"the adapter {file} is damaged", f"the alpha of {part.name} is no number", SAVE_AGAIN)
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise CorruptError(
                f"the adapter {file} holds values that are not finite",
                f"there are some in {part.name}: its training diverged, or the file is damaged",
                "fetch it again, or take an earlier checkpoint of its training",
            )


def _check_config(file: Path, config: Mapping[str, Any]) -> None:
    """Raises CorruptError for settings of peft with which the file is no W + s B A on the base model's weights."""
    plain = f"the adapter {file} is no plain LoRA"
    kind = str(config.get("peft_type") or "LORA").upper().removeprefix("PEFTTYPE.")
    if kind != "LORA":
        raise CorruptError(plain, f"its settings say that it is {kind}", MERGE)
    if config.get("use_dora"):
        raise CorruptError(plain, "its settings say DoRA, and its magnitudes are missing", SAVE_AGAIN)
    special = [key for key in NOT_PLAIN if config.get(key)]
    if special or config.get("bias", "none") not in ("none", None):
        raise CorruptError(plain, f"its settings say {', '.join(special or ['bias'])}, which is not supported", MERGE)
    init = config.get("init_lora_weights", True)
    if init not in PLAIN_INITS:
        cause = f"it was initialised by {init}, which changes the weights of the base model"
        raise CorruptError(plain, cause, "let peft convert it into a plain LoRA when it is saved")


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
