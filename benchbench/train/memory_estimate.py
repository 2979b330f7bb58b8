"""Estimates a training run's GPU memory, counted on fake tensors before anything is loaded.

The code that is counted is the code that trains: method, loss, adapter, optimiser, sampler and decoder. Memory grows in
a straight line with the rows that are worked on at a time, so each part is counted at one row and at the most it may
have; between the two a part whose peak moves to another place bends below the line, never above it. What is not
counted are the CUDA context, the workspaces of kernels and what the allocator cannot use: see ``memory_plan.reserve``.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from benchbench.config import RunConfig
from benchbench.diffusion.decode import MOST
from benchbench.rewards import lookup
from benchbench.train.cost_estimate import Sizes, sizes
from benchbench.train.reward_memory import RewardMemory, reward_memory

Part = Literal["train", "walk", "judge", "guide"]
COUNTED = ("lora_rank", "lora_alpha", "optimizer", "finetune", "channels_last", "batch", "micro_batch")


@dataclass(frozen=True)
class Line:
    """Bytes that are alive at the peak of a part: ``fixed`` and ``row`` times the rows."""

    fixed: float
    row: float

    def at(self, rows: int) -> int:
        """Bytes at so many rows."""
        return round(self.fixed + self.row * rows)


@dataclass
class _Kept:
    """The counts of one setting, kept in this process."""

    sizes: Sizes
    base: int = 0  # bytes between two optimiser steps; 0: not counted yet
    update: int = 0  # at the peak of an optimiser step
    lines: dict[tuple[Part, bool], Line] = field(default_factory=dict)


_KEPT: dict[str, _Kept] = {}
_SHARED: dict[str, dict[Part, Line]] = {}
"""The parts that do not depend on the method."""


class Estimate:
    """Peaks of one run, counted when they are asked for and kept in the process; to be used as a context.

    ``dtype`` is fp32, bf16 or fp16. Errors: MissingError for a model that is neither here nor known by its name.
    """

    def __init__(self, config: RunConfig, dtype: str) -> None:
        self.config, self.dtype = config, dtype
        self._stack = contextlib.ExitStack()
        self._run: Any = None
        common, key = _keys(config, dtype)
        if key not in _KEPT:
            _KEPT[key] = _Kept(sizes(config))
        self.kept, self.shared = _KEPT[key], _SHARED.setdefault(common, {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._run = None
        self._stack.close()

    @property
    def rows(self) -> int:
        """Rows of the largest batch of an optimiser step."""
        return len(self.kept.sizes.batch)

    def most(self, part: Part) -> int:
        """Rows that the part has at a time where nothing is cut."""
        images = self._images()
        if part == "train":
            return min(self.config.train.micro_batch, self.rows)
        if part == "walk":
            return max(self.kept.sizes.walked, images)
        return min(MOST, images) if part == "judge" else max(1, self.config.train.batch)

    def line(self, part: Part, checkpointing: bool = False) -> Line:
        """The memory of a part by its rows, with everything else that is alive then."""
        if (part, checkpointing) not in self.kept.lines:
            self._stays()
            alone = self._shared(part) if part in ("walk", "judge") else self._count(part, checkpointing)
            self.kept.lines[part, checkpointing] = Line(self.kept.base + alone.fixed, alone.row)
        return self.kept.lines[part, checkpointing]

    @property
    def update(self) -> int:
        """Bytes at the peak of the optimiser step itself, in which no row is in memory."""
        self._stays()
        return self.kept.update

    def _stays(self) -> None:
        if not self.kept.base:
            fake = self._open()
            self.kept.base, self.kept.update = fake.base, fake.base + fake.updating

    def _shared(self, part: Part) -> Line:
        if part not in self.shared:
            self.shared[part] = self._count(part, False)
        return self.shared[part]

    def _count(self, part: Part, checkpointing: bool) -> Line:
        """Returns the memory of a part above what is alive between optimiser steps."""
        fake, most = self._open(), self.most(part)
        fake.checkpoint(checkpointing)
        counted = part == "train" and not checkpointing  # by the first optimiser step
        one = fake.first if counted else getattr(fake, part)(1)
        row = (getattr(fake, part)(most) - one) / (most - 1) if most > 1 else 0.0
        return Line(one - row, row)

    def _images(self) -> int:
        """Images that are made at a time in the evaluations of a run."""
        from benchbench.diffusion.fake_models import settings

        parts = settings(self.config.model)
        side = parts["unet"]["sample_size"] * 2 ** (len(parts["vae"]["block_out_channels"]) - 1)
        return max(1, min(64, 2**22 // side**2))

    def _open(self) -> Any:
        if self._run is None:
            from benchbench.diffusion.fake_cuda import LiveMemory, fake_cuda
            from benchbench.train.fake_run import FakeRun

            self._stack.enter_context(fake_cuda())
            live = self._stack.enter_context(LiveMemory())
            self._run = FakeRun(self.config, self.dtype, self.kept.sizes, self.reward, live)
        return self._run

    @property
    def reward(self) -> RewardMemory:
        """The memory of the run's reward, which an offline method loads for its evaluations."""
        return reward_memory(lookup.get(self.config.reward))


def _keys(config: RunConfig, dtype: str) -> tuple[str, str]:
    """Equal for runs whose parts without gradient take the same memory, and for runs that take the same in all."""
    from benchbench.diffusion.fake_models import settings

    train = {name: getattr(config.train, name) for name in COUNTED}
    common = [settings(config.model), dtype, config.reward, train, config.sampler.model_dump()]
    common_key = json.dumps(common, sort_keys=True, default=str)
    return common_key, common_key + json.dumps([config.method, config.settings], sort_keys=True, default=str)
