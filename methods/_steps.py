"""Which of the T denoising steps a method trains on, and how they are dealt out to optimiser steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, TypeVar

import torch
from pydantic import Field

from benchbench.api import StepPairs, Transitions
from benchbench.diffusion.schedule import Schedule, check_steps
from benchbench.errors import UsageError
from benchbench.noise import Noise

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


def minibatches(steps: Sequence[Rows], size: int, fraction: float, noise: Noise, *what: str | int) -> Iterator[Rows]:
    """Deals the items of a rollout out in random order, ``size`` at a time, each with its steps.

    ``steps`` holds a Batch of all N items for each trained step. Of its S steps an item keeps int(S * fraction), chosen
    anew for every item: the released ``timestep_fraction``. A pair keeps the same steps for both of its sides.
    """
    n, kept = len(steps[0]), max(1, int(len(steps) * fraction))
    whole = type(steps[0]).cat(steps)
    device = whole.k.device
    order = noise.permutation(n, *what)
    chosen = [set(noise.permutation(len(steps), "steps", i, *what)[:kept]) for i in range(n)]
    for start in range(0, n, size):
        items = order[start : start + size]
        rows = [s * n + i for s in range(len(steps)) for i in items if s in chosen[i]]
        yield whole[torch.tensor(rows, device=device)]
