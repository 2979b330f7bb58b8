"""Checkpoints: written whole or not at all, checked when read.

What is on disk at each instant: ``checkpoints/NNNNNNNN/`` folders that are complete, and perhaps a ``.tmp-*`` folder of
a killed writer, which nobody reads and the next writer removes. Each holds ``adapter.safetensors``,
``optimizer.safetensors`` and ``state.json`` with the sha256 of both. The last two are kept.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from benchbench.errors import CorruptError
from benchbench.store.files import write_atomic, writing
from benchbench.store.keys import file_sha256

KEEP = 2


@dataclass
class State:
    """Everything a resumed run needs beside tensors."""

    run: str  # digest of the RunConfig and the model's hash: a checkpoint of another run is refused
    samples: int = 0
    updates: int = 0  # optimiser steps: the position in the learning rate's warm-up
    seconds: float = 0.0
    metrics_bytes: int = 0
    cost: dict[str, int] = field(default_factory=dict)
    constant_images: int = 0
    method: dict[str, Any] = field(default_factory=dict)


def optimizer_tensors(optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter]) -> dict[str, Tensor]:
    """The optimiser's moments and step counts, by the parameter's place."""
    return {
        f"{i}.{name}": torch.as_tensor(value).detach().cpu().contiguous()  # Adafactor counts in plain numbers
        for i, parameter in enumerate(parameters)
        for name, value in optimizer.state.get(parameter, {}).items()
    }


def write(run: Path, state: State, parameters: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> Path:
    """Writes the checkpoint of ``state.samples``. Errors: RunError (disk full), with nothing half-written left."""
    root = run / "checkpoints"
    final, temporary = root / f"{state.samples:08d}", root / f".tmp-{os.getpid()}"
    with writing(final):
        for left in root.glob(".tmp-*"):
            shutil.rmtree(left)
        try:
            temporary.mkdir(parents=True)
            adapter = {str(i): p.detach().cpu().contiguous() for i, p in enumerate(parameters)}
            (temporary / "adapter.safetensors").write_bytes(save(adapter))
            (temporary / "optimizer.safetensors").write_bytes(save(optimizer_tensors(optimizer, parameters)))
            files = {p.name: file_sha256(p) for p in sorted(temporary.glob("*.safetensors"))}
            (temporary / "state.json").write_text(json.dumps({"files": files, **asdict(state)}), encoding="utf-8")
            if final.exists():  # the same samples again, after a resumption from before them
                shutil.rmtree(final)
            os.replace(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    for old in sorted(root.glob("[0-9]*"))[:-KEEP]:
        shutil.rmtree(old)
    return final


def read_latest(
    run: Path,
    expected: str,
    parameters: list[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    say: Callable[[str], None],
) -> State | None:
    """Restores the newest sound checkpoint into the parameters and the optimiser; None where there is none yet.

    A damaged one is named and the one before it is taken. Errors: CorruptError where none of those there are is sound,
    or where they belong to another run.
    """
    folders = sorted((run / "checkpoints").glob("[0-9]*"), reverse=True)
    for folder in folders:
        try:
            raw = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            for name, sha256 in raw.pop("files").items():
                if file_sha256(folder / name) != sha256:
                    raise ValueError(f"{name} does not have the sha256 that was recorded")
            state = State(**raw)
            adapter = load((folder / "adapter.safetensors").read_bytes())
            moments = load((folder / "optimizer.safetensors").read_bytes())
        except Exception as error:  # OSError, JSON, safetensors: all mean a damaged checkpoint
            say(f"checkpoint {folder.name} is damaged and not used ({error})")
            continue
        if state.run != expected:
            raise CorruptError(
                f"the checkpoint {folder} belongs to another run",
                "it was written with other settings or another model",
                "resume with the settings that run.json holds, or choose another --out",
            )
        _restore(adapter, moments, parameters, optimizer)
        return state
    if folders:
        raise CorruptError(
            f"no checkpoint of {run} can be read", f"{len(folders)} are there, all damaged", "train into another --out"
        )
    return None


@torch.no_grad()
def _restore(
    adapter: dict[str, Tensor],
    moments: dict[str, Tensor],
    parameters: list[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
    for i, parameter in enumerate(parameters):
        parameter.copy_(adapter[str(i)])
        state = {}
        for key in [key for key in moments if key.startswith(f"{i}.")]:
            value, name = moments[key], key.split(".", 1)[1]
            state[name] = value if name == "step" else value.to(parameter.device)
        if state:
            optimizer.state[parameter] = state


def save_done(run: Path, done: dict[str, Any]) -> None:
    """Marks the run complete."""
    write_atomic(run / "done.json", json.dumps(done, indent=1).encode())
