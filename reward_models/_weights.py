"""Reads a checkpoint into tensors, and fills modules with them without initialising the modules first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from benchbench.api import CorruptError, out_of_memory

State = dict[str, Tensor]
Module = TypeVar("Module", bound=nn.Module)


def read(path: Path) -> State:
    """Returns the tensors of a safetensors file, or of a pickle that holds only tensors, on the CPU.

    The tensors may be under the key ``state_dict``, and their names may begin with ``module.``, as in checkpoints of
    training on several GPUs. Raises CorruptError.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return _plain(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        return _plain({name: value for name, value in state.items() if isinstance(value, Tensor)})
    except Exception as error:  # the readers of the two formats raise about ten classes of errors on damaged files
        if out_of_memory(error):
            raise
        raise _corrupt(path, (str(error).strip() or type(error).__name__).splitlines()[0]) from error


def _plain(state: State) -> State:
    """Returns the tensors by the network's own names: torch's DistributedDataParallel writes ``module.`` before all."""
    return part(state, "module.") if state and all(name.startswith("module.") for name in state) else state


def fill(make: Callable[[], Module], state: Mapping[str, Tensor], path: Path) -> Module:
    """Returns the module with these tensors in float32, frozen and in evaluation mode.

    Raises CorruptError for tensors that are missing, unexpected, of another shape or not finite.
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
        if out_of_memory(error):
            raise
        raise _corrupt(path, " ".join(str(error).split())[:400]) from error
    return module.requires_grad_(False).eval()


def part(state: Mapping[str, Tensor], prefix: str) -> State:
    """Returns the tensors whose names begin with ``prefix``, by names without the prefix."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def layers(state: Mapping[str, Tensor], prefix: str) -> int:
    """Returns the number of distinct layer numbers that follow ``prefix`` in the names."""
    return len({name.removeprefix(prefix).split(".")[0] for name in state if name.startswith(prefix)})


def need(state: Mapping[str, Tensor], name: str, path: Path) -> Tensor:
    """Returns the tensor of this name. Raises CorruptError where the file has none, as one of another architecture."""
    if name not in state:
        raise _corrupt(path, f"it has no tensor {name}")
    return state[name]


def _corrupt(path: Path, cause: str) -> CorruptError:
    return CorruptError(f"{path} is not the expected checkpoint", cause, "delete it and fetch it again")
