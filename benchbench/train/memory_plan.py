"""Plans how many rows at a time a training run puts on a device, so that it fits the device's memory.

The plan depends only on the settings, the model's architecture and the total memory, never on the memory that happens
to be free. So a run that is resumed, or repeated beside another program, gets the same plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchbench.config import RunConfig
from benchbench.train.memory_estimate import Estimate, Part

GIB = 2**30


@dataclass(frozen=True)
class MemoryPlan:
    """Rows at a time for each part that is split. None: the device's memory is unknown, and nothing is split."""

    micro_batch: int
    """Rows of one forward pass with gradient; at most the configured number."""
    gradient_checkpointing: bool
    """True where the backward pass recomputes activations in the network and, for guidance, in the VAE."""
    guidance_rows: int | None = None
    """Samples that TailorPO-G's guidance differentiates at a time; None for other methods, too."""
    walk_rows: int | None = None
    """Samples of one evaluation of the network without gradient."""
    decode_rows: int | None = None
    """Images that are decoded and scored at a time."""
    peak_bytes: int | None = None
    """The estimated peak memory."""
    fits: bool = True
    """False where even one row at a time needs more than the device has."""


def reserve(total_bytes: int) -> int:
    """Returns the bytes that a plan leaves free: the larger of 2.25 GiB and 7 %.

    A CUDA context takes about half a GiB, the workspaces of cuDNN and cuBLAS up to one, a desktop some more. The memory
    that PyTorch's allocator loses to fragmentation is a few per cent of the memory in use.
    """
    return max(9 * GIB // 4, total_bytes * 7 // 100)


def plan(config: RunConfig, total_bytes: int | None, dtype: str | None = None) -> MemoryPlan:
    """Returns the plan for one process of a run on a device with ``total_bytes`` of memory.

    ``total_bytes`` is None for a CPU, where nothing is split. ``dtype`` is what ``train.dtype`` resolved to on the
    device; where it is None, ``auto`` stands for the precision that the method asks for. Errors: MissingError for a
    model that is neither on this machine nor known by its name.
    """
    if total_bytes is None:
        return MemoryPlan(config.train.micro_batch, _setting(config) == "on")
    return plans(config, [total_bytes], dtype)[0]


def plans(config: RunConfig, totals: Sequence[int], dtype: str | None = None) -> list[MemoryPlan]:
    """Returns the plans for several devices; memory is measured once for all of them."""
    precision = dtype or config.train.dtype
    if precision == "auto":
        precision = config.method_class.precision(config.method_config).name
    stored = {"half": "bf16", "tf32": "fp32"}.get(precision, precision)  # TF32 is float32 in memory
    with Estimate(config, stored) as estimate:
        return [_fit(config, estimate, total - reserve(total)) for total in totals]


def _setting(config: RunConfig) -> str:
    setting: str = getattr(config.train, "gradient_checkpointing", "auto")
    return setting


def _fit(config: RunConfig, estimate: Estimate, budget: int) -> MemoryPlan:
    """Returns the plan with the most rows at a time; ``budget`` is in bytes.

    Gradient checkpointing takes a third more time, so it is used only where fewer than two rows fit without it.
    """
    guided = "reward_gradient" in config.method_class.needs(config.method_config)
    enough = min(2, estimate.most("train"))
    choices = {"auto": (False, True), "on": (True,), "off": (False,)}[_setting(config)]
    for checkpointing in choices:
        micro = _largest(config.train.micro_batch, estimate, "train", checkpointing, budget)
        guidance = _largest(estimate.most("guide"), estimate, "guide", checkpointing, budget) if guided else None
        if micro >= enough and guidance != 0:
            break
    denoise, score = (_largest(estimate.most(part), estimate, part, False, budget) for part in ("denoise", "score"))
    rows: dict[Part, int] = {"train": min(micro, estimate.rows), "denoise": denoise, "score": score}
    if guidance is not None:
        rows["guide"] = guidance
    peaks = [estimate.line(p, checkpointing and p in ("train", "guide")).at(max(1, n)) for p, n in rows.items()]
    peak = max(*peaks, estimate.update)
    return MemoryPlan(
        micro_batch=max(1, micro),
        gradient_checkpointing=checkpointing,
        guidance_rows=None if guidance is None else max(1, guidance),
        walk_rows=max(1, denoise),
        decode_rows=max(1, score),
        peak_bytes=peak,
        fits=peak <= budget,
    )


def _largest(most: int, estimate: Estimate, part: Part, checkpointing: bool, budget: int) -> int:
    """Returns the largest of ``most``, ``most`` / 2, ``most`` / 4, ... rows that fits; 0 where one row does not."""
    line, available = estimate.line(part, checkpointing), estimate.most(part)
    return next((rows for rows in _halvings(most) if line.at(min(rows, available)) <= budget), 0)


def _halvings(most: int) -> Iterator[int]:
    while most >= 1:
        yield most
        most //= 2
