"""Estimates a training run's GPU memory before anything is loaded, by running its code on fake tensors.

The estimate runs the code that trains: method, loss, adapter, optimizer, sampler and decoder. Memory grows linearly
with the rows at a time, so each part is measured at one row and at the most it may have. A part whose peak moves to
another place in between needs less than the line through these two says, never more. The CUDA context, the workspaces
of kernels and memory that the allocator cannot use are not included: see ``memory_plan.reserve``.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import Literal, Self

from benchbench.config import RunConfig
from benchbench.diffusion.decode import MAX_IMAGES
from benchbench.diffusion.fake_cuda import LiveMemory, fake_cuda
from benchbench.diffusion.fake_models import part_configs
from benchbench.train.cost_estimate import Sizes, sizes
from benchbench.train.fake_run import FakeRun
from benchbench.train.reward_memory import RewardMemory, memory_of

Part = Literal["train", "denoise", "score", "guide"]
SETTINGS_THAT_MATTER = (
    "lora_rank",
    "lora_alpha",
    "optimizer",
    "finetune",
    "channels_last",
    "batch",
    "micro_batch",
    "ema",
)


@dataclass(frozen=True)
class Line:
    """The memory in use at the peak of a part, in bytes: ``fixed`` plus ``row`` for each row."""

    fixed: float
    row: float

    def at(self, rows: int) -> int:
        """Returns the bytes in use with ``rows`` rows at a time."""
        return round(self.fixed + self.row * rows)


@dataclass
class _Counts:
    """The measurements of one setting."""

    sizes: Sizes
    base: int = 0  # bytes in use between two optimizer steps; 0: not measured yet
    update: int = 0  # bytes in use at the peak of an optimizer step, or of reading prompts
    lines: dict[tuple[Part, bool], Line] = field(default_factory=dict)


_COUNTS: dict[str, _Counts] = {}
_SHARED: dict[str, dict[Part, Line]] = {}
"""The memory, above ``base``, of the parts that do not depend on the method."""


class Estimate:
    """Measures the peaks of one run when they are first asked for, and caches them in this process.

    Use it as a context manager. ``dtype`` is fp32, bf16 or fp16. Errors: MissingError for a model that is neither on
    this machine nor known by its name.
    """

    def __init__(self, config: RunConfig, dtype: str) -> None:
        self.config, self.dtype = config, dtype
        self._stack = contextlib.ExitStack()
        self._run: FakeRun | None = None
        common, key = _keys(config, dtype)
        if key not in _COUNTS:
            _COUNTS[key] = _Counts(sizes(config))
        self.counts, self.shared = _COUNTS[key], _SHARED.setdefault(common, {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._run = None
        self._stack.close()

    @property
    def rows(self) -> int:
        """The number of rows in the largest batch of an optimizer step."""
        return len(self.counts.sizes.batch)

    def most(self, part: Part) -> int:
        """Returns the rows that the part has at a time where nothing is split."""
        images = self._evaluation_images()
        if part == "train":
            return min(self.config.train.micro_batch, self.rows)
        if part == "denoise":
            return max(self.counts.sizes.denoised, images)
        return min(MAX_IMAGES, images) if part == "score" else max(1, self.config.train.batch)

    def line(self, part: Part, checkpointing: bool = False) -> Line:
        """Returns the memory in use during a part by its rows, with everything else that is in memory then."""
        if (part, checkpointing) not in self.counts.lines:
            self._measure_base()
            above = self._shared(part) if part in ("denoise", "score") else self._measure(part, checkpointing)
            self.counts.lines[part, checkpointing] = Line(self.counts.base + above.fixed, above.row)
        return self.counts.lines[part, checkpointing]

    @property
    def update(self) -> int:
        """The bytes in use when no row is in memory: at the peak of the optimizer step, or of reading prompts."""
        self._measure_base()
        return self.counts.update

    def _measure_base(self) -> None:
        if not self.counts.base:
            fake = self._open()
            self.counts.base, self.counts.update = fake.base, fake.base + fake.update

    def _shared(self, part: Part) -> Line:
        if part not in self.shared:
            self.shared[part] = self._measure(part, False)
        return self.shared[part]

    def _measure(self, part: Part, checkpointing: bool) -> Line:
        """Returns the memory of a part above what is in use between optimizer steps."""
        fake, most = self._open(), self.most(part)
        fake.set_gradient_checkpointing(checkpointing)
        measured = part == "train" and not checkpointing  # in the first optimizer step
        one_row: int = fake.train_one_row if measured else getattr(fake, part)(1)
        row = (getattr(fake, part)(most) - one_row) / (most - 1) if most > 1 else 0.0
        return Line(one_row - row, row)

    def _evaluation_images(self) -> int:
        """Returns the number of images that a run's evaluations generate at a time."""
        parts = part_configs(self.config.model)
        denoiser = parts.get("transformer") or parts["unet"]
        side: int = denoiser["sample_size"] * 2 ** (len(parts["vae"]["block_out_channels"]) - 1)
        return max(1, min(64, 2**22 // side**2))

    def _open(self) -> FakeRun:
        if self._run is None:
            self._stack.enter_context(fake_cuda())
            live = self._stack.enter_context(LiveMemory())
            self._run = FakeRun(self.config, self.dtype, self.counts.sizes, self.reward, live)
        return self._run

    @property
    def reward(self) -> RewardMemory:
        """The memory of the run's reward, which an offline method loads as well, for its evaluations."""
        return memory_of(self.config.reward)


def _keys(config: RunConfig, dtype: str) -> tuple[str, str]:
    """Returns two keys: one for the memory of the parts without gradient, one for the memory of all parts."""
    train = {name: getattr(config.train, name) for name in SETTINGS_THAT_MATTER}
    common = [part_configs(config.model), dtype, config.reward, train, config.sampler.model_dump()]
    common_key = json.dumps(common, sort_keys=True, default=str)
    return common_key, common_key + json.dumps([config.method, config.settings], sort_keys=True, default=str)
