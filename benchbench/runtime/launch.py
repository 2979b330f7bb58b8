"""From how a process was started to its place in a ProcessGroup: ``accelerate launch -m benchbench train ...``.

Launchers (accelerate, torchrun) start equal processes and tell each its place in environment variables. This file
reads them, refuses what was started in another way, and lets accelerate connect the processes. Imports no torch until
there are several.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from benchbench.errors import BenchError, RunError, UsageError

if TYPE_CHECKING:
    from benchbench.runtime.distributed import ProcessGroup

    pass

NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
FOREIGN = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")  # of MPI's launchers
PATIENCE = timedelta(minutes=30)  # how long a process waits for another; the first one calibrates and saves alone
EXAMPLE = "accelerate launch --multi_gpu --num_processes 2 -m benchbench train ..."


@dataclass(frozen=True)
class Place:
    """Which of how many processes this is; ``local`` counts on its own machine."""

    rank: int = 0
    size: int = 1
    local: int = 0


def place() -> Place:
    """As the launcher says. Errors: UsageError where it says half of it, or is one that we do not take part in."""
    env = os.environ
    if "WORLD_SIZE" not in env:
        foreign = [name for name in FOREIGN if env.get(name, "1") not in ("", "1")]
        if foreign:
            raise UsageError(
                f"{env[foreign[0]]} processes were started, and not as one run",
                f"{foreign[0]} is set and WORLD_SIZE is not: each of them would train the whole run, into one folder",
                f"start them by accelerate or torchrun: {EXAMPLE}",
            )
        if env.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true") and "MASTER_ADDR" in env:
            raise UsageError(
                "accelerate was asked for several processes and started one",
                "`accelerate launch --cpu` starts several by mpirun only",
                f"name the device behind our command: {EXAMPLE} --device cpu",
            )
        return Place()
    size = _number("WORLD_SIZE")
    if size == 1:
        return Place()
    absent = [name for name in NEEDED if not env.get(name)]
    if absent:
        raise UsageError(
            f"WORLD_SIZE says {size} processes, and {', '.join(absent)} is not set",
            "so this process cannot know its place, or where the others are",
            f"start it by a launcher: {EXAMPLE}; or unset WORLD_SIZE to train on one device",
        )
    where = Place(_number("RANK"), size, _number("LOCAL_RANK"))
    if where.rank >= size:
        raise UsageError(
            f"RANK={where.rank} is not one of WORLD_SIZE={size}", "ranks count from 0", f"use a launcher: {EXAMPLE}"
        )
    return where


def _number(name: str) -> int:
    text = os.environ[name]
    if not text.isdecimal() or (name == "WORLD_SIZE" and int(text) < 1):
        raise UsageError(f"{name}={text!r} is not a number of processes", "a launcher sets it", f"use one: {EXAMPLE}")
    return int(text)


def several() -> bool:
    """Returns whether a launcher started this process as one of several; it also ends them, by means of its own."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


def speaks() -> bool:
    """Whether this is the process that tells a person what happens on this machine."""
    return not several() or os.environ.get("LOCAL_RANK", "0") == "0"


def alone(command: str) -> None:
    """Refuses several processes for a command that is one. Errors: UsageError."""
    if place().size > 1:
        raise UsageError(
            f"bench {command} is one process, and a launcher started {place().size}",
            "each of them would do all of the work",
            f"only training runs on many: {EXAMPLE}; start this one as: bench {command}",
        )


@contextmanager
def processes(device: str | None) -> Iterator[ProcessGroup]:
    """Connects the processes of this run for the block, each on a device of its own; one process is left alone.

    Errors: UsageError for a device that cannot be meant, RunError where the others are not reached.
    """
    from benchbench.runtime.distributed import LostError, ProcessGroup

    where = place()
    if where.size == 1:
        yield ProcessGroup()
        return
    cpu = _on_cpu(device, where)
    import torch
    from accelerate import PartialState

    try:
        state = PartialState(cpu=cpu, backend="gloo" if cpu else "nccl", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"process {where.rank} of {where.size} did not reach the others",
            f"{str(error).splitlines()[0]} ({os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']})",
            "look whether all were started, and whether that port is free and open",
        ) from error
    try:
        yield ProcessGroup(where.rank, where.size, torch.device("cpu") if cpu else state.device)
    except LostError:
        raise
    except BenchError:  # raised by all of them
        state.destroy_process_group()
        raise
    state.destroy_process_group()


def _on_cpu(device: str | None, where: Place) -> bool:
    import torch

    if device not in (None, "cpu", "cuda"):
        raise UsageError(
            f"--device {device} cannot be the device of {where.size} processes",
            "each takes a GPU of its own, the first the first",
            "use --device cuda or cpu, or leave it away; CUDA_VISIBLE_DEVICES says which GPUs there are",
        )
    if device == "cpu" or (device is None and not torch.cuda.is_available()):
        return True
    if where.local >= torch.cuda.device_count():
        raise UsageError(
            f"process {where.local} of this machine has no GPU",
            f"there are {torch.cuda.device_count()}, and each process needs its own",
            "start as many processes as there are GPUs: --num_processes; or use --device cpu",
        )
    return False
