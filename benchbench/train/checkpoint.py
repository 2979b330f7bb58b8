"""Writes and reads checkpoints. A checkpoint is on disk completely or not at all, and is verified when it is read.

At any moment the run's folder holds complete folders ``checkpoints/NNNNNNNN/``, and perhaps a ``.*.tmp`` folder that a
killed process left, which nobody reads and the next write removes. A checkpoint consists of
``adapter-NNN.safetensors``, ``optimizer-NNN.safetensors``, ``average-NNN`` and ``old-NNN`` of a run that has a running
average or an old policy, and ``state.json``, which records the sha256 of the other files and has a checksum of its own.
The last two checkpoints are kept.

Tensors are written and read a gigabyte at a time. Training every weight of SDXL keeps 40 GB of weights and moments on
the GPU, and the host never holds more than one file of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from benchbench.diffusion.weight_copy import WeightCopy
from benchbench.errors import CorruptError
from benchbench.runtime.files import Log, replacing_folder, sweep
from benchbench.runtime.hashing import file_sha256
from benchbench.runtime.memory import out_of_memory
from benchbench.runtime.sealed import parse_sealed, write_sealed
from benchbench.store.run_file import DONE
from benchbench.train.identity import differences

KEEP = 2
FILE_BYTES = 2**30  # largest size of a file, which is also the host memory that a checkpoint takes


@dataclass
class State:
    """Everything that a resumed run needs besides tensors."""

    run: str  # ``run_folder.run_key``; a checkpoint with another key is refused
    samples: int = 0
    updates: int = 0  # optimizer steps, which the learning rate's warm-up counts
    seconds: float = 0.0
    metrics_bytes: int = 0
    cost: dict[str, int] = field(default_factory=dict)
    constant_images: int = 0
    method: dict[str, Any] = field(default_factory=dict)
    loss_scale: dict[str, Any] = field(default_factory=dict)  # empty unless the run trains in fp16
    inputs: dict[str, str] = field(default_factory=dict)  # ``train.identity``; empty in those of earlier versions


def optimizer_tensors(optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter]) -> dict[str, Tensor]:
    """Returns the optimizer's moments and step counts under ``INDEX.NAME``, on the device where they are."""
    return {
        f"{i}.{name}": torch.as_tensor(value).detach()  # Adafactor's step count is a plain number
        for i, parameter in enumerate(parameters)
        for name, value in optimizer.state.get(parameter, {}).items()
    }


def save_tensors(folder: Path, stem: str, tensors: Mapping[str, Tensor]) -> None:
    """Writes ``stem-000.safetensors``, ``stem-001.safetensors``, ...; the host holds one file's tensors at a time."""
    part: dict[str, Tensor] = {}
    size = count = 0
    for name, tensor in tensors.items():
        tensor_bytes = tensor.numel() * tensor.element_size()
        if part and size + tensor_bytes > FILE_BYTES:
            save_file(part, folder / f"{stem}-{count:03d}.safetensors")
            part, size, count = {}, 0, count + 1
        part[name] = tensor.cpu().contiguous()
        size += tensor_bytes
    save_file(part, folder / f"{stem}-{count:03d}.safetensors")


def read_tensors(folder: Path, stem: str) -> Iterator[tuple[str, Tensor]]:
    """Yields the name and the CPU tensor of each entry in the files that ``save_tensors`` wrote, one at a time."""
    for file in sorted(folder.glob(f"{stem}-*.safetensors")):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  # not a dict
                yield name, tensors.get_tensor(name)


def write(
    run: Path,
    state: State,
    parameters: list[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    copies: Mapping[str, WeightCopy] | None = None,
) -> Path:
    """Writes the checkpoint of ``state`` and returns its folder; removes all but the last ``KEEP``.

    ``copies`` are further sets of the weights, by the names of their files: ``average`` and ``old``.

    Errors: RunError where the disk is full; nothing half-written is left then.
    """
    root = run / "checkpoints"
    final = root / f"{state.samples:08d}"  # exists already where a resumed run comes by again
    sweep(root)
    with replacing_folder(final) as temporary:
        save_tensors(temporary, "adapter", {str(i): p.detach() for i, p in enumerate(parameters)})
        save_tensors(temporary, "optimizer", optimizer_tensors(optimizer, parameters))
        for name, copy in (copies or {}).items():
            save_tensors(temporary, name, {str(i): value for i, value in enumerate(copy.values)})
        files = {p.name: file_sha256(p) for p in sorted(temporary.glob("*.safetensors"))}
        write_sealed(temporary / "state.json", {"files": files, **asdict(state)})
    for old in sorted(root.glob("[0-9]*"))[:-KEEP]:
        shutil.rmtree(old)
    return final


def folders(run: Path) -> list[Path]:
    """Returns the folders of a run's checkpoints, the newest first, sound or not."""
    return sorted((run / "checkpoints").glob("[0-9]*"), reverse=True)


def find_latest(
    run: Path, expected: str, log: Log, inputs: Mapping[str, str] | None = None
) -> tuple[Path, State] | None:
    """Returns the folder and the State of the newest intact checkpoint, or None where the run has no checkpoint yet.

    A damaged one is logged and the one before it is taken. ``expected`` is the run's key, and ``inputs`` are compared
    with those that the checkpoint was trained on.

    Errors: CorruptError where all checkpoints are damaged, or where they belong to another run.
    """
    found = folders(run)
    for folder in found:
        try:
            state = read_state(folder)
        except Exception as error:  # an OSError, invalid JSON or safetensors: the checkpoint is damaged
            if out_of_memory(error):
                raise
            log(f"checkpoint {folder.name} is damaged and not used ({error})")
            continue
        if state.run != expected:
            raise CorruptError(
                f"the checkpoint {folder} belongs to another run",
                "it was written with other settings or another model",
                "resume with the settings that run.json holds, or choose another --out",
            )
        changed = differences(state.inputs, inputs) if state.inputs and inputs else []
        if changed:
            raise CorruptError(
                f"the checkpoint {folder} belongs to a run of other inputs",
                f"since it was written, these have changed: {', '.join(changed)}",
                "put them back as they were, or choose another --out",
            )
        return folder, state
    if found:
        raise CorruptError(
            f"no checkpoint of {run} can be read", f"all {len(found)} are damaged", "train into another --out"
        )
    return None


def read_state(folder: Path) -> State:
    """Returns the State in a checkpoint's folder. Raises OSError, ValueError, KeyError or TypeError for damage."""
    raw = parse_sealed((folder / "state.json").read_bytes())
    files = raw.pop("files")
    if set(files) != {path.name for path in folder.glob("*.safetensors")}:
        raise ValueError("its files are not those that were recorded")
    for name, sha256 in files.items():
        if file_sha256(folder / name) != sha256:
            raise ValueError(f"{name} does not have the sha256 that was recorded")
    state = State(**raw)
    if state.samples != int(folder.name):
        raise ValueError(f"it was written after {state.samples} samples")
    return state


def read_latest(
    run: Path,
    expected: str,
    parameters: list[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    log: Log,
    inputs: Mapping[str, str] | None = None,
    copies: Mapping[str, WeightCopy] | None = None,
) -> State | None:
    """Restores the checkpoint that ``find_latest`` finds into the parameters, the optimizer and the further copies.

    Returns its State, or None where the run has no checkpoint yet. Errors: those of ``find_latest``.
    """
    found = find_latest(run, expected, log, inputs)
    if found is None:
        return None
    folder, state = found
    _restore(folder, parameters, optimizer)
    for name, copy in (copies or {}).items():
        for number, value in read_tensors(folder, name):
            copy.values[int(number)].copy_(value)
    return state


@torch.no_grad()
def _restore(folder: Path, parameters: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    for name, value in read_tensors(folder, "adapter"):
        parameters[int(name)].copy_(value)
    for key, value in read_tensors(folder, "optimizer"):
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        # a fused optimizer keeps its step count on the device, any other on the CPU
        stays_on_cpu = name == "step" and not any(group.get("fused") for group in optimizer.param_groups)
        optimizer.state[parameter][name] = value if stays_on_cpu else value.to(parameter.device)


def save_done(run: Path, done: dict[str, Any]) -> None:
    """Writes done.json, which marks the run as complete."""
    write_sealed(run / DONE, done)
