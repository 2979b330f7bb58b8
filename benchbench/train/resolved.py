"""Decides a run's precision and memory use from its device when the run starts; run.json keeps them for resuming."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchbench.config import RunConfig
from benchbench.diffusion.backbones import pick_dtype
from benchbench.errors import CorruptError, RunError, UsageError
from benchbench.runtime.files import Log
from benchbench.runtime.precision import Precision
from benchbench.runtime.sealed import write_sealed
from benchbench.store.run_file import RUN, read_run_file
from benchbench.train.memory_child import plans_in_child
from benchbench.train.memory_plan import MemoryPlan

KEY = "resolved"
ROWS = ("micro_batch", "walk_rows", "decode_rows", "guidance_rows")


@dataclass(frozen=True)
class Resolved:
    """The precision and the memory use of a run. The precision is a part of the run's identity; memory use is not.

    ``dtype`` is the network's precision: fp32, tf32 (float32 weights, TF32 products), bf16 or fp16. ``reward_dtype`` is
    the precision of a learned reward that scores or guides in training: fp32 or tf32.
    """

    dtype: str
    reward_dtype: Precision
    micro_batch: int
    """Rows of one forward pass with gradient."""
    gradient_checkpointing: bool = False
    walk_rows: int | None = None
    """Samples of one evaluation without gradient. None, here and in the next two fields, sets no limit."""
    decode_rows: int | None = None
    """Images that are decoded and scored at a time."""
    guidance_rows: int | None = None
    """Samples that TailorPO-G's guidance differentiates at a time."""
    peak_bytes: int | None = None
    """The estimated peak memory; None on a CPU."""
    fits: bool = True
    """False where even one row at a time needs more than the device has, by the estimate."""

    @property
    def identity(self) -> list[str]:
        """The values that, besides the settings, must be the same for a checkpoint to be resumed."""
        return [self.dtype, self.reward_dtype]

    @property
    def summary(self) -> str:
        """Describes in a line how memory is used; empty on a CPU, where nothing is split."""
        if self.peak_bytes is None:
            return ""
        recomputed = ", activations computed twice (gradient checkpointing)" if self.gradient_checkpointing else ""
        short = "" if self.fits else "; that is more than this device has, so it may run out of memory"
        peak = f"{self.peak_bytes / 2**30:.1f} GiB at the estimated peak"
        return f"{self.dtype}, {self.micro_batch} rows at a time with gradient{recomputed}: {peak}{short}"


def resolve(config: RunConfig, device: torch.device, log: Log = print, total_bytes: int | None = None) -> Resolved:
    """Returns the precisions and the memory use of a new run on ``device``.

    ``total_bytes`` overrides the memory of the device. Errors: UsageError for TF32 on a device that does not have it.
    """
    dtype: str = config.train.dtype
    if dtype == "auto":
        dtype = pick_dtype("auto", device)
        preferred = config.method_class.precision(config.method_config).name
        if device.type == "cuda" and preferred != "half":
            dtype = preferred if preferred != "tf32" or has_tf32(device) else "fp32"
    setting = config.train.reward_dtype
    reward_dtype: Precision = ("tf32" if has_tf32(device) else "fp32") if setting == "auto" else setting
    for name, value in (("dtype", dtype), ("reward_dtype", reward_dtype)):
        if value == "tf32" and not has_tf32(device):
            raise UsageError(
                f"train.{name}=tf32 cannot be used on {device}",
                "TF32 is a mode of NVIDIA GPUs from Ampere (2020) on",
                f"use --set train.{name}=fp32",
            )
    if total_bytes is None and device.type == "cuda":
        total_bytes = torch.cuda.get_device_properties(device).total_memory
    plan = _plan(config, total_bytes, dtype, log)
    return Resolved(
        dtype,
        reward_dtype,
        plan.micro_batch,
        plan.gradient_checkpointing,
        plan.walk_rows,
        plan.decode_rows,
        plan.guidance_rows,
        plan.peak_bytes,
        plan.fits,
    )


def _plan(config: RunConfig, total_bytes: int | None, dtype: str, log: Log) -> MemoryPlan:
    """Returns the memory plan, or the configured values on a CPU and where the estimate fails.

    A failed estimate is no error, since training splits its batches after an out-of-memory error anyway.
    """
    if total_bytes is not None:
        with suppress(RunError):
            return plans_in_child(config, [total_bytes], dtype, log)[0]
    return MemoryPlan(config.train.micro_batch, config.train.gradient_checkpointing == "on")


def agree(decisions: Sequence[Mapping[str, Any]]) -> Resolved:
    """Returns one decision for all processes: their common precisions, and the fewest rows that any of them decided."""
    first = decisions[0]
    fewest = {name: min((d[name] for d in decisions if d[name]), default=first[name]) for name in ROWS}
    checkpointing = any(decision["gradient_checkpointing"] for decision in decisions)
    return Resolved(**{**first, **fewest, "gradient_checkpointing": checkpointing})


def has_tf32(device: torch.device) -> bool:
    """Returns True for a device that can compute float32 products in TF32, with ten bits of mantissa."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8


def read(out: Path) -> Resolved | None:
    """Returns what the run in ``out`` decided when it started; None where it has not started. Errors: CorruptError."""
    file = out / RUN
    if not file.exists():
        return None
    run = read_run_file(out)
    try:
        return Resolved(**run[KEY])
    except (KeyError, TypeError) as error:
        raise CorruptError(
            f"{file} does not say in which precision the run started",
            f"{type(error).__name__}: {error}",
            "train into another --out",
        ) from error


def record_memory_use(out: Path, micro_batch: int, gradient_checkpointing: bool) -> None:
    """Writes into run.json how memory is used from now on; the precision never changes."""
    run = read_run_file(out)
    run[KEY] |= {"micro_batch": micro_batch, "gradient_checkpointing": gradient_checkpointing}
    write_sealed(out / RUN, run)
