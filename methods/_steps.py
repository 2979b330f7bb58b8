"""Which of the T denoising steps a method trains on, and how they are dealt out to optimiser steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from benchbench.api import Noise, Schedule, StepPairs, Transitions, UsageError, check_steps

Count = Annotated[int, Field(ge=1)]
Steps = Literal["all"] | Count | tuple[int, ...]
"""``all``, a number of steps spread from T down (5 of 20 is 20, 16, 12, 8, 4), or the step indices themselves."""
Rows = TypeVar("Rows", Transitions, StepPairs)


def trained_steps(steps: Steps | Sequence[int], schedule: Schedule) -> tuple[int, ...]:
    """Step indices in the order of the walk, T first."""
    if steps == "all":
        return tuple(range(schedule.steps, 0, -1))
    if isinstance(steps, int):
        if steps > schedule.steps:
            raise UsageError(
                f"method.steps={steps} is more than there are",
                f"the sampler takes {schedule.steps} steps",
                "use fewer, or --set method.steps=all",
            )
        return schedule.spaced(steps)
    ks = tuple(sorted({int(k) for k in steps}, reverse=True))
    check_steps(ks, schedule.steps)
    return ks


def deal(
    items: int, steps: int, size: int, fraction: float, noise: Noise, *what: str | int, device: torch.device
) -> Iterator[Tensor]:
    """Row numbers int64 of each optimiser step, among steps * items rows that are sorted by step, then by item.

    The items of a rollout are dealt out in random order, ``size`` at a time, each with its steps. Of its S steps an
    item keeps int(S * fraction), chosen anew for every item: the released ``timestep_fraction``. A pair keeps the same
    steps for both of its sides.
    """
    kept = max(1, int(steps * fraction))
    order = noise.permutation(items, *what)
    chosen = [set(noise.permutation(steps, "steps", i, *what)[:kept]) for i in range(items)]
    for start in range(0, items, size):
        rows = [s * items + i for s in range(steps) for i in order[start : start + size] if s in chosen[i]]
        yield torch.tensor(rows, device=device)


def minibatches(steps: Sequence[Rows], size: int, fraction: float, noise: Noise, *what: str | int) -> Iterator[Rows]:
    """The rows of each optimiser step, dealt as above, of a Batch of all items for each trained step."""
    whole = type(steps[0]).cat(steps)
    for rows in deal(len(steps[0]), len(steps), size, fraction, noise, *what, device=whole.k.device):
        yield whole[rows]
