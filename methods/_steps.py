"""Which of the T denoising steps a method trains on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from benchbench.diffusion.schedule import Schedule, check_steps

Steps = Literal["all"] | tuple[int, ...]


def trained_steps(steps: Steps | Sequence[int], schedule: Schedule) -> tuple[int, ...]:
    """Step indices in the order of the walk, T first."""
    if steps == "all":
        return tuple(range(schedule.steps, 0, -1))
    ks = tuple(sorted({int(k) for k in steps}, reverse=True))
    check_steps(ks, schedule.steps)
    return ks
