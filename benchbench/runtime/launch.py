"""Reads the rank of this process and connects the processes of a run: ``accelerate launch -m benchbench train ...``.

Launchers (accelerate, torchrun) start equal processes and pass each its rank in environment variables. This file reads
them, refuses processes that were started in another way, and lets accelerate connect them. Imports torch only inside
functions: every command reads its rank, and `bench --help` must not load torch.
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

NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
FOREIGN = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")  # set by MPI launchers
PATIENCE = timedelta(minutes=30)  # to wait for another process; rank 0 calibrates and saves while the others wait
EXAMPLE = "accelerate launch --multi_gpu --num_processes 2 -m benchbench train ..."


@dataclass(frozen=True)
class ProcessRank:
    """The rank of this process among ``size``, and its rank on its own machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0


def read_rank() -> ProcessRank:
    """Returns the rank that the launcher set. Raises UsageError for incomplete variables and unsupported launchers."""
    env = os.environ
    if "WORLD_SIZE" not in env:
        foreign = [name for name in FOREIGN if env.get(name, "1") not in ("", "1")]
        if foreign:
            raise UsageError(
                f"{env[foreign[0]]} processes were started, but not as one run",
                f"{foreign[0]} is set and WORLD_SIZE is not: each process would train the whole run in the same folder",
                f"start them by accelerate or torchrun: {EXAMPLE}",
            )
        if env.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true") and "MASTER_ADDR" in env:
            raise UsageError(
                "accelerate was asked for several processes and started one",
                "`accelerate launch --cpu` starts several by mpirun only",
                f"name the device after the bench command: {EXAMPLE} --device cpu",
            )
        return ProcessRank()
    size = _number("WORLD_SIZE")
    if size == 1:
        return ProcessRank()
    missing = [name for name in NEEDED if not env.get(name)]
    if missing:
        raise UsageError(
            f"WORLD_SIZE={size}, and {', '.join(missing)} is not set",
            "this process cannot know its rank or reach the others",
            f"start it by a launcher: {EXAMPLE}; or unset WORLD_SIZE to train on one device",
        )
    rank = ProcessRank(_number("RANK"), size, _number("LOCAL_RANK"))
    if rank.rank >= size:
        raise UsageError(
            f"RANK={rank.rank} is not one of WORLD_SIZE={size}", "ranks count from 0", f"use a launcher: {EXAMPLE}"
        )
    return rank


def _number(name: str) -> int:
    text = os.environ[name]
    if not text.isdecimal() or (name == "WORLD_SIZE" and int(text) < 1):
        raise UsageError(f"{name}={text!r} is not a number of processes", "a launcher sets it", f"use one: {EXAMPLE}")
    return int(text)


def is_multi_process() -> bool:
    """Returns whether a launcher started this process as one of several; the launcher also ends them."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


def is_local_main() -> bool:
    """Returns whether this process prints messages: it is the only one, or the first one on its machine."""
    return not is_multi_process() or os.environ.get("LOCAL_RANK", "0") == "0"


def require_single_process(command: str) -> None:
    """Raises UsageError if a launcher started several processes of a command that runs as one."""
    if read_rank().size > 1:
        raise UsageError(
            f"bench {command} runs as one process, and a launcher started {read_rank().size}",
            "each of them would do all the work",
            f"only training runs as several: {EXAMPLE}; start this command as: bench {command}",
        )


@contextmanager
def connected_processes(device: str | None) -> Iterator[ProcessGroup]:
    """Yields the connected processes of this run, each with its own device; a single process needs no connection.

    Raises UsageError for a device that several processes cannot use, RunError if the others are not reached.
    """
    from benchbench.runtime.distributed import LostError, ProcessGroup

    rank = read_rank()
    if rank.size == 1:
        yield ProcessGroup()
        return
    cpu = _on_cpu(device, rank)
    import torch
    from accelerate import PartialState

    try:
        state = PartialState(cpu=cpu, backend="gloo" if cpu else "nccl", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"process {rank.rank} of {rank.size} did not reach the others",
            f"{str(error).splitlines()[0]} ({os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']})",
            "check that all were started, and that this port is free and open",
        ) from error
    try:
        yield ProcessGroup(rank.rank, rank.size, torch.device("cpu") if cpu else state.device)
    except LostError:
        raise
    except BenchError:  # raised by all processes
        state.destroy_process_group()
        raise
    state.destroy_process_group()


def _on_cpu(device: str | None, rank: ProcessRank) -> bool:
    """Returns whether the processes run on the CPU. Raises UsageError for a device that they cannot use."""
    import torch

    if device not in (None, "cpu", "cuda"):
        raise UsageError(
            f"--device {device} cannot be the device of {rank.size} processes",
            "each process takes its own GPU, by its rank on the machine",
            "use --device cuda or cpu, or leave --device out; CUDA_VISIBLE_DEVICES selects the GPUs",
        )
    if device == "cpu" or (device is None and not torch.cuda.is_available()):
        return True
    if rank.local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"process {rank.local_rank} of this machine has no GPU",
            f"there are {torch.cuda.device_count()}, and each process needs its own",
            "start as many processes as there are GPUs: --num_processes; or use --device cpu",
        )
    return False
