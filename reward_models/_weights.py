"""Reads a checkpoint into tensors, and puts tensors into a module that was never initialised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from benchbench.api import CorruptError

State = dict[str, Tensor]
Module = TypeVar("Module", bound=nn.Module)


def read(path: Path) -> State:
    """The tensors of a safetensors file, or of a pickle that holds nothing but tensors; on the CPU.

    Training checkpoints keep them under ``state_dict``. Errors: CorruptError.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
        found = found.get("state_dict", found)
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}
    except Exception as error:  # the readers of two formats raise some ten kinds of error on a damaged file
        raise _corrupt(path, (str(error).strip() or type(error).__name__).splitlines()[0]) from error


def fill(make: Callable[[], Module], state: Mapping[str, Tensor], path: Path) -> Module:
    """The module with these tensors in float32, frozen, in evaluation mode; every tensor has its place and no other.

    Errors: CorruptError for tensors that are missing, unexpected, of another shape or not finite.
    """
    from accelerate import init_empty_weights

    bad = next((name for name, value in state.items() if not value.isfinite().all()), None)
    if bad is not None:
        raise _corrupt(path, f"{bad} holds values that are not finite")
    with init_empty_weights(include_buffers=False):
        module = make()
    try:
        module.load_state_dict({name: value.float() for name, value in state.items()}, strict=True, assign=True)
    except RuntimeError as error:
        raise _corrupt(path, " ".join(str(error).split())[:400]) from error
    return module.requires_grad_(False).eval()


def part(state: Mapping[str, Tensor], prefix: str) -> State:
    """The tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def layers(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered layers follow ``prefix``."""
    return len({name.removeprefix(prefix).split(".")[0] for name in state if name.startswith(prefix)})


def need(state: Mapping[str, Tensor], name: str, path: Path) -> Tensor:
    """The tensor of this name. Errors: CorruptError for a file that is not of this architecture."""
    if name not in state:
        raise _corrupt(path, f"it has no tensor {name}")
    return state[name]


def _corrupt(path: Path, cause: str) -> CorruptError:
    return CorruptError(f"{path} is not the checkpoint it should be", cause, "delete it and fetch it again")
