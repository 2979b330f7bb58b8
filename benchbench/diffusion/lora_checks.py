"""Refuses LoRA files: tensors of another method, network or shape, and settings that need other mathematics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchbench.diffusion.lora_names import LYCORIS, TEXT_ENCODER
from benchbench.errors import CorruptError

PLAIN_INITS = (True, False, None, "gaussian", "eva", "orthogonal")
"""The initialisations of peft that leave the base model's weights as they are."""
NOT_PLAIN = (
    *("use_qalora", "alora_invocation_tokens", "layer_replication", "target_parameters", "trainable_token_indices"),
    *("modules_to_save", "velora_config", "monteclora_config", "use_bdlora", "arrow_config", "kasa_config"),
)
"""The settings of peft that make an adapter something else than a LoRA or DoRA."""
MERGE = "merge it into the model with the tool that trained it, and evaluate the file or folder: --checkpoint PATH"
SAVE_AGAIN = "save or fetch it again"


@dataclass
class Parts:
    """The tensors of one layer, by role, and the layer's name in the file."""

    name: str
    tensors: dict[str, Tensor] = field(default_factory=dict)


def check_kind(file: Path, names: list[str]) -> None:
    """Raises CorruptError for tensors that need other mathematics, or another network, than a LoRA on the UNet."""

    def refuse(problem: str, found: list[str], cause: str, remedy: str) -> None:
        if found:
            raise CorruptError(problem, f"{len(found)} of its {len(names)} tensors {cause}, such as {found[0]}", remedy)

    plain = f"the adapter {file} is no plain LoRA"
    found = [name for name in names if LYCORIS.search(name)]
    refuse(plain, found, "are of a LyCORIS method (LoHa, LoKr, OFT, full differences), which is not supported", MERGE)
    found = [name for name in names if name.startswith(TEXT_ENCODER)]
    remedy = "train or save it for the UNet alone (sd-scripts: --network_train_unet_only), or merge it into a model"
    changes = f"the adapter {file} changes the text encoder, too"
    refuse(changes, found, "are for the text encoder, which is not supported", remedy)


def check_layers(file: Path, parts: Mapping[str, Parts], modules: Mapping[str, Any]) -> None:
    """Raises CorruptError for layers that the UNet lacks, halves of layers, other shapes and values not finite."""
    other = f"the adapter {file} belongs to another model"
    remedy = "evaluate it with the model that it was trained on (for a run of ours, `bench show run` names it)"
    adapted = (torch.nn.Linear, torch.nn.Conv2d)
    unknown = [part.name for name, part in parts.items() if not isinstance(modules.get(name), adapted)]
    if unknown:
        cause = f"{len(unknown)} of its {len(parts)} layers are not in this model, such as {unknown[0]}"
        raise CorruptError(other, cause, remedy)
    _check_whole(file, list(parts.values()))
    for name, part in parts.items():
        weight = modules[name].weight.shape
        wrong = next((role for role in part.tensors if not _fits(role, part.tensors, tuple(weight))), None)
        if wrong == "alpha":
            raise CorruptError(f"the adapter {file} is damaged", f"the alpha of {part.name} is no number", SAVE_AGAIN)
        if wrong:
            shapes = ", ".join(f"{role} {list(tensor.shape)}" for role, tensor in part.tensors.items())
            cause = f"{part.name} has another shape: {shapes} where this model's weight is {list(weight)}"
            raise CorruptError(other, cause, remedy)
        whole = [role for role, tensor in part.tensors.items() if role != "alpha" and not tensor.is_floating_point()]
        if whole:
            cause = f"{whole[0]} of {part.name} holds whole numbers ({part.tensors[whole[0]].dtype})"
            raise CorruptError(f"the adapter {file} is quantised", cause, "save it in fp16, bf16 or fp32")
        if not all(tensor.isfinite().all() for tensor in part.tensors.values()):
            raise CorruptError(
                f"the adapter {file} holds values that are not finite",
                f"there are some in {part.name}: its training diverged, or the file is damaged",
                "fetch it again, or take an earlier checkpoint of its training",
            )


def _check_whole(file: Path, parts: list[Parts]) -> None:
    """Raises CorruptError for layers without A or B, or without what belongs to the others."""
    halves = [part for part in parts if not {"A", "B"} <= set(part.tensors)]
    if halves:
        absent = "A (down)" if "A" not in halves[0].tensors else "B (up)"
        cause = f"{len(halves)} of its {len(parts)} layers are not whole: {halves[0].name} has no {absent}"
        raise CorruptError(f"the adapter {file} is incomplete", cause, SAVE_AGAIN)
    biases = [part for part in parts if "bias" not in part.tensors]
    if biases and len(biases) < len(parts):
        cause = f"{len(biases)} of its {len(parts)} layers have no bias of B, such as {biases[0].name}"
        raise CorruptError(f"the adapter {file} is incomplete", cause, SAVE_AGAIN)
    for part in parts:
        if "magnitude" in part.tensors and "dora_scale" in part.tensors:
            cause = f"{part.name} has the magnitudes of DoRA twice, by peft's and by LyCORIS's name"
            raise CorruptError(f"the adapter {file} is ambiguous", cause, SAVE_AGAIN)
        if "bias" in part.tensors and {"magnitude", "dora_scale", "mid"} & set(part.tensors):
            cause = f"{part.name} has a bias of B beside DoRA or a middle matrix, which is not supported"
            raise CorruptError(f"the adapter {file} is no plain LoRA", cause, MERGE)


def _fits(role: str, tensors: Mapping[str, Tensor], weight: tuple[int, ...]) -> bool:
    """Returns whether a tensor has the shape that its role needs beside a weight [out, in, ...] of the UNet."""
    shape, rank = tuple(tensors[role].shape), len(tensors["A"]) if tensors["A"].ndim else 0
    kernel, ones = weight[2:], (1,) * len(weight[2:])
    if role == "A":
        return rank > 0 and shape == (rank, weight[1], *(ones if "mid" in tensors else kernel))
    if role == "magnitude":
        return shape == ((1, weight[0], *ones) if kernel else (weight[0],))
    if role == "dora_scale":
        return shape in ((weight[0], 1, *ones), (1, weight[1], *ones))
    wanted = {"B": (weight[0], rank, *ones), "mid": (rank, rank, *kernel), "bias": (weight[0],)}
    return tensors[role].numel() == 1 if role == "alpha" else shape == wanted[role] and (role != "mid" or bool(kernel))


def check_config(file: Path, config: Mapping[str, Any], parts: Mapping[str, Parts]) -> None:
    """Raises CorruptError for settings of peft that need other mathematics, or that contradict the file's tensors."""
    plain = f"the adapter {file} is no plain LoRA"
    kind = str(config.get("peft_type") or "LORA").upper().removeprefix("PEFTTYPE.")
    if kind != "LORA":
        raise CorruptError(plain, f"its settings say that it is {kind}", MERGE)
    without = [part.name for part in parts.values() if not {"magnitude", "dora_scale"} & set(part.tensors)]
    if config.get("use_dora") and without:
        cause = f"its settings say DoRA, and {len(without)} of its {len(parts)} layers have no magnitudes: {without[0]}"
        raise CorruptError(f"the adapter {file} is incomplete", cause, SAVE_AGAIN)
    if config.get("use_dora") is False and len(without) < len(parts):
        cause = "its settings say that it is no DoRA, and its tensors hold magnitudes of DoRA"
        raise CorruptError(f"the adapter {file} contradicts itself", cause, SAVE_AGAIN)
    special = [key for key in NOT_PLAIN if config.get(key)]
    if special or config.get("bias", "none") not in ("none", None):
        raise CorruptError(plain, f"its settings say {', '.join(special or ['bias'])}, which is not supported", MERGE)
    init = config.get("init_lora_weights", True)
    if init not in PLAIN_INITS:
        cause = f"it was initialised by {init}, which changes the weights of the base model"
        raise CorruptError(plain, cause, "let peft convert it into a plain LoRA when it is saved")
