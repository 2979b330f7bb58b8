"""Decides precision and memory use at a run's start from its device; run.json keeps them for resumptions."""

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
from benchbench.runtime.json_files import read_object, write_json
from benchbench.runtime.precision import Precision
from benchbench.train.memory_child import plans_apart
from benchbench.train.memory_plan import MemoryPlan

KEY = "resolved"
ROWS = ("micro_batch", "walk_rows", "decode_rows", "guidance_rows")


@dataclass(frozen=True)
class Resolved:
    """The precision is a part of the run's identity; how memory is used is not.

    ``dtype`` is the UNet's: fp32, tf32 (float32 weights, TF32 products), bf16 or fp16. ``reward_dtype`` is that of a
    learned reward that judges or guides in training: fp32 or tf32.
    """

    dtype: str
    reward_dtype: Precision
    micro_batch: int
    """Rows of one forward with gradient."""
    gradient_checkpointing: bool = False
    walk_rows: int | None = None
    """Samples of one evaluation without gradient; None, as in the two that follow: no limit is known."""
    decode_rows: int | None = None
    """Images that are decoded and judged at a time."""
    guidance_rows: int | None = None
    """Samples that TailorPO-G's guidance differentiates at a time."""
    peak_bytes: int | None = None
    """Memory in use at the peak, as estimated."""
    fits: bool = True
    """False where the estimate is more than the device has, with even one row at a time."""

    @property
    def identity(self) -> list[str]:
        """The values that a checkpoint must agree with beside the settings."""
        return [self.dtype, self.reward_dtype]

    @property
    def words(self) -> str:
        """Describes how the run was cut to fit; empty on a CPU, where nothing is cut."""
        if self.peak_bytes is None:
            return ""
        kept = ", activations computed twice (gradient checkpointing)" if self.gradient_checkpointing else ""
        short = "" if self.fits else "; that is more than this device has, so it may run out of memory"
        peak = f"{self.peak_bytes / 2**30:.1f} GiB at the estimated peak"
        return f"{self.dtype}, {self.micro_batch} rows at a time with gradient{kept}: {peak}{short}"


def resolve(config: RunConfig, device: torch.device, log: Log = print, total_bytes: int | None = None) -> Resolved:
    """The precisions and the use of memory for a new run on ``device``. ``total_bytes`` stands in for its memory.

    Errors: UsageError for TF32 asked for on a device that has none.
    """
    dtype: str = config.train.dtype
    if dtype == "auto":
        dtype = pick_dtype("auto", device)
        wanted = config.method_class.precision(config.method_config).name
        if device.type == "cuda" and wanted != "half":
            dtype = wanted if wanted != "tf32" or has_tf32(device) else "fp32"
    asked = config.train.reward_dtype
    reward: Precision = ("tf32" if has_tf32(device) else "fp32") if asked == "auto" else asked
    for name, value in (("dtype", dtype), ("reward_dtype", reward)):
        if value == "tf32" and not has_tf32(device):
            raise UsageError(
                f"train.{name}=tf32 cannot be used on {device}",
                "TF32 is a mode of NVIDIA GPUs from Ampere (2020) on",
                f"use --set train.{name}=fp32",
            )
    if total_bytes is None and device.type == "cuda":
        total_bytes = torch.cuda.get_device_properties(device).total_memory
        log("counting what fits into this card's memory: a quarter of a minute, for SDXL one or two")
    cut = _planned(config, total_bytes, dtype)
    return Resolved(
        dtype,
        reward,
        cut.micro_batch,
        cut.gradient_checkpointing,
        cut.walk_rows,
        cut.decode_rows,
        cut.guidance_rows,
        cut.peak_bytes,
        cut.fits,
    )


def _planned(config: RunConfig, total_bytes: int | None, dtype: str) -> MemoryPlan:
    """The plan; the settings as they are on a CPU and where it cannot be counted: training copes with little memory."""
    if total_bytes is not None:
        with suppress(RunError):
            return plans_apart(config, [total_bytes], dtype)[0]
    return MemoryPlan(config.train.micro_batch, config.train.gradient_checkpointing == "on")


def agreed(each: Sequence[Mapping[str, Any]]) -> Resolved:
    """One decision for all processes of a run: their precisions, which are equal, and the smallest of their parts."""
    first = each[0]
    fewest = {name: min((one[name] for one in each if one[name]), default=first[name]) for name in ROWS}
    checkpointing = any(one["gradient_checkpointing"] for one in each)
    return Resolved(**{**first, **fewest, "gradient_checkpointing": checkpointing})


def has_tf32(device: torch.device) -> bool:
    """Returns True for a device whose float32 products can take TF32's ten bits of mantissa."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8


def read(out: Path) -> Resolved | None:
    """Reads what the run in ``out`` decided when it began; None where it has not begun. Errors: CorruptError."""
    file = out / "run.json"
    if not file.exists():
        return None
    run = read_object(file, "train into another --out")
    try:
        return Resolved(**run[KEY])
    except (KeyError, TypeError) as error:
        raise CorruptError(
            f"{file} does not say in which precision the run began",
            f"{type(error).__name__}: {error}",
            "train into another --out",
        ) from error


def remember(out: Path, micro_batch: int, gradient_checkpointing: bool) -> None:
    """Writes into run.json how memory is used from now on. The precision never changes."""
    file = out / "run.json"
    run = read_object(file, "train into another --out")
    run[KEY] |= {"micro_batch": micro_batch, "gradient_checkpointing": gradient_checkpointing}
    write_json(file, run)
