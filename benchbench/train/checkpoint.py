"""Checkpoints: written whole or not at all, checked when read.

What is on disk at each instant: ``checkpoints/NNNNNNNN/`` folders that are complete, and perhaps a ``.*.tmp`` folder of
a killed writer, which nobody reads and the next writer removes. Each holds ``adapter-NNN.safetensors``,
``optimizer-NNN.safetensors`` and ``state.json`` with the sha256 of all. The last two are kept.

Tensors are written and read a gigabyte at a time: to train all of SDXL means 40 GB of weights and moments on the GPU,
of which the host never holds more than one file.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from benchbench.errors import CorruptError
from benchbench.runtime.files import replacing_folder, sweep
from benchbench.runtime.hashing import file_sha256
from benchbench.runtime.json_files import parse_object, write_json

KEEP = 2
FILE_BYTES = 2**30  # of one file, and so of host memory


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
    loss_scale: dict[str, Any] = field(default_factory=dict)  # of fp16


def optimizer_tensors(optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter]) -> dict[str, Tensor]:
    """The optimiser's moments and step counts, by the parameter's place, where they are."""
    return {
        f"{i}.{name}": torch.as_tensor(value).detach()  # Adafactor counts in plain numbers
        for i, parameter in enumerate(parameters)
        for name, value in optimizer.state.get(parameter, {}).items()
    }


def save_tensors(folder: Path, stem: str, tensors: Mapping[str, Tensor]) -> None:
    """Writes ``stem-000.safetensors`` and so on, each copied from the device, written and dropped before the next."""
    part: dict[str, Tensor] = {}
    size = count = 0
    for name, tensor in tensors.items():
        bytes_ = tensor.numel() * tensor.element_size()
        if part and size + bytes_ > FILE_BYTES:
            save_file(part, folder / f"{stem}-{count:03d}.safetensors")
            part, size, count = {}, 0, count + 1
        part[name] = tensor.cpu().contiguous()
        size += bytes_
    save_file(part, folder / f"{stem}-{count:03d}.safetensors")


def read_tensors(folder: Path, stem: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors of those files by name, one at a time, on the CPU."""
    for file in sorted(folder.glob(f"{stem}-*.safetensors")):
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118  # not a dict
                yield name, opened.get_tensor(name)


def write(run: Path, state: State, parameters: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> Path:
    """Writes the checkpoint of ``state.samples``. Errors: RunError (disk full), with nothing half-written left."""
    root = run / "checkpoints"
    final = root / f"{state.samples:08d}"  # may exist: the same samples again, after a resumption from before them
    sweep(root)
    with replacing_folder(final) as temporary:
        save_tensors(temporary, "adapter", {str(i): p.detach() for i, p in enumerate(parameters)})
        save_tensors(temporary, "optimizer", optimizer_tensors(optimizer, parameters))
        files = {p.name: file_sha256(p) for p in sorted(temporary.glob("*.safetensors"))}
        write_json(temporary / "state.json", {"files": files, **asdict(state)})
    for old in sorted(root.glob("[0-9]*"))[:-KEEP]:
        shutil.rmtree(old)
    return final


def read_latest(
    run: Path,
    expected: str,
    parameters: list[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    log: Callable[[str], None],
) -> State | None:
    """Restores the newest sound checkpoint into the parameters and the optimiser; None where there is none yet.

    A damaged one is named and the one before it is taken. Errors: CorruptError where none of those there are is sound,
    or where they belong to another run.
    """
    folders = sorted((run / "checkpoints").glob("[0-9]*"), reverse=True)
    for folder in folders:
        try:
            raw = parse_object((folder / "state.json").read_bytes())
            for name, sha256 in raw.pop("files").items():
                if file_sha256(folder / name) != sha256:
                    raise ValueError(f"{name} does not have the sha256 that was recorded")
            state = State(**raw)
        except Exception as error:  # OSError, JSON, safetensors: all mean a damaged checkpoint
            log(f"checkpoint {folder.name} is damaged and not used ({error})")
            continue
        if state.run != expected:
            raise CorruptError(
                f"the checkpoint {folder} belongs to another run",
                "it was written with other settings or another model",
                "resume with the settings that run.json holds, or choose another --out",
            )
        _restore(folder, parameters, optimizer)
        return state
    if folders:
        raise CorruptError(
            f"no checkpoint of {run} can be read", f"{len(folders)} are there, all damaged", "train into another --out"
        )
    return None


@torch.no_grad()
def _restore(folder: Path, parameters: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    for name, value in read_tensors(folder, "adapter"):
        parameters[int(name)].copy_(value)
    for key, value in read_tensors(folder, "optimizer"):
        place, name = key.split(".", 1)
        parameter = parameters[int(place)]
        # a fused optimiser wants its step count on the device, the others theirs on the CPU
        stays = name == "step" and not any(group.get("fused") for group in optimizer.param_groups)
        optimizer.state[parameter][name] = value if stays else value.to(parameter.device)


def save_done(run: Path, done: dict[str, Any]) -> None:
    """Marks the run complete."""
    write_json(run / "done.json", done)
