"""Plans how a training run is cut to fit a device, once, from the memory that the device has.

The plan is a function of the settings, the model's architecture and the total memory alone, never of what happens to be
free: a run that is resumed, or repeated beside another program, is cut in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchbench.config import RunConfig
from benchbench.train.memory_estimate import Estimate, Part

GIB = 2**30


@dataclass(frozen=True)
class MemoryPlan:
    """Rows at a time, for each thing that is cut. None: the device's memory is not known, and nothing is cut."""

    micro_batch: int
    """Rows of one forward pass with gradient; the configured number at most."""
    gradient_checkpointing: bool
    """Activations are worked out again in the backward pass instead of being kept, in the UNet and under guidance in
    the VAE too."""
    guidance_rows: int | None = None
    """Samples that TailorPO-G's guidance differentiates at a time; None for other methods too."""
    walk_rows: int | None = None
    """Samples of one evaluation of the network without gradient."""
    decode_rows: int | None = None
    """Images that are decoded and judged at a time."""
    peak_bytes: int | None = None
    """Most memory in use at any time, as estimated."""
    fits: bool = True
    """False where even the smallest parts are more than the device has."""


def reserve(total_bytes: int) -> int:
    """Returns the bytes that stay free: the larger of 2.25 GiB and 7 %.

    A CUDA context takes about half a GiB, the workspaces of cuDNN and cuBLAS up to one, a desktop some more. What
    PyTorch's allocator holds in pieces that fit nothing grows with the memory in use, by a few per cent.
    """
    return max(9 * GIB // 4, total_bytes * 7 // 100)


def plan(config: RunConfig, total_bytes: int | None, dtype: str | None = None) -> MemoryPlan:
    """The plan for one process of a run on a device with ``total_bytes`` of memory; None for a CPU, which cuts nothing.

    ``dtype`` is what ``train.dtype`` came to on the device; where that is not known, ``auto`` is the method's own.
    Errors: MissingError for a model that is neither on this machine nor known by its name.
    """
    if total_bytes is None:
        return MemoryPlan(config.train.micro_batch, _setting(config) == "on")
    return plans(config, [total_bytes], dtype)[0]


def plans(config: RunConfig, totals: Sequence[int], dtype: str | None = None) -> list[MemoryPlan]:
    """The plans for several devices; what is counted is counted once."""
    asked = dtype or config.train.dtype
    if asked == "auto":
        asked = config.method_class.precision(config.method_config).name
    stored = {"half": "bf16", "tf32": "fp32"}.get(asked, asked)  # TF32 is float32 in memory
    with Estimate(config, stored) as estimate:
        return [_fitted(config, estimate, total - reserve(total)) for total in totals]


def _setting(config: RunConfig) -> str:
    setting: str = getattr(config.train, "gradient_checkpointing", "auto")
    return setting


def _fitted(config: RunConfig, estimate: Estimate, budget: int) -> MemoryPlan:
    """Without checkpointing where two rows fit, or all there are; else with it, which takes a third more time."""
    guided = "reward_gradient" in config.method_class.needs(config.method_config)
    wanted = min(2, estimate.most("train"))
    ways = {"auto": (False, True), "on": (True,), "off": (False,)}[_setting(config)]
    for checkpointing in ways:
        micro = _largest(config.train.micro_batch, estimate, "train", checkpointing, budget)
        guidance = _largest(estimate.most("guide"), estimate, "guide", checkpointing, budget) if guided else None
        if micro >= wanted and guidance != 0:
            break
    walk, decode = (_largest(estimate.most(part), estimate, part, False, budget) for part in ("walk", "judge"))
    rows: dict[Part, int] = {"train": min(micro, estimate.rows), "walk": walk, "judge": decode}
    if guidance is not None:
        rows["guide"] = guidance
    peaks = [estimate.line(p, checkpointing and p in ("train", "guide")).at(max(1, n)) for p, n in rows.items()]
    peak = max(*peaks, estimate.update)
    return MemoryPlan(
        micro_batch=max(1, micro),
        gradient_checkpointing=checkpointing,
        guidance_rows=None if guidance is None else max(1, guidance),
        walk_rows=max(1, walk),
        decode_rows=max(1, decode),
        peak_bytes=peak,
        fits=peak <= budget,
    )


def _largest(most: int, estimate: Estimate, part: Part, checkpointing: bool, budget: int) -> int:
    """The most rows of ``most``, half of it, a quarter, ... that fit; 0 where one row does not."""
    line, there = estimate.line(part, checkpointing), estimate.most(part)
    return next((rows for rows in _halvings(most) if line.at(min(rows, there)) <= budget), 0)


def _halvings(most: int) -> Iterator[int]:
    while most >= 1:
        yield most
        most //= 2
