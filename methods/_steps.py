"""Selects the denoising steps that a method trains on, and deals them out to optimizer steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from benchbench.api import Noise, Schedule, StepPairs, Transitions, UsageError

Count = Annotated[int, Field(ge=1)]
Steps = Literal["all"] | Count | tuple[int, ...]
"""``all`` that draw noise, a number of evenly spaced ones from T down (5 of 20 are 20, 16, 12, 8, 4), or a list."""
Rows = TypeVar("Rows", Transitions, StepPairs)


def noisy_steps(schedule: Schedule) -> tuple[int, ...]:
    """Returns the steps that draw noise, the noisiest first. Raises UsageError for a sampler without any."""
    if not schedule.trainable:
        raise UsageError(
            "nothing can be trained with this sampler",
            "no step of it draws noise, so that no step has a log-probability",
            "choose a sampler that draws noise: --set sampler.dynamics=flow-sde",
        )
    return schedule.trainable


def trained_steps(steps: Steps | Sequence[int], schedule: Schedule) -> tuple[int, ...]:
    """Returns the trained step indices in the order of the rollout, the noisiest first; each step draws noise.

    Raises UsageError for more steps than there are, and for a step that does not exist or draws no noise.
    """
    noisy = noisy_steps(schedule)
    if steps == "all":
        return noisy
    if isinstance(steps, int):
        if steps > len(noisy):
            raise UsageError(
                f"method.steps={steps} is more than the sampler has",
                f"the sampler takes {len(noisy)} steps that draw noise",
                "set fewer, or --set method.steps=all",
            )
        return schedule.spaced(steps)
    ks = tuple(sorted({int(k) for k in steps}, reverse=True))
    schedule.check(ks)
    return ks


def minibatch_rows(
    items: int, steps: int, size: int, fraction: float, noise: Noise, *words: str | int, device: torch.device
) -> Iterator[Tensor]:
    """Yields the row numbers, int64, of each optimizer step, among steps * items rows sorted by step, then by item.

    Each optimizer step takes ``size`` items in random order, with all of their steps. ``fraction`` below 1 keeps
    int(S * fraction) of the S steps, drawn for each item: the released ``timestep_fraction``. Both sides of a pair keep
    the same steps. ``words`` name the draws.
    """
    count = max(1, int(steps * fraction))
    order = noise.permutation(items, *words)
    steps_of = [set(noise.permutation(steps, "steps", i, *words)[:count]) for i in range(items)]
    for start in range(0, items, size):
        rows = [s * items + i for s in range(steps) for i in order[start : start + size] if s in steps_of[i]]
        yield torch.tensor(rows, device=device)


def minibatches(steps: Sequence[Rows], size: int, fraction: float, noise: Noise, *words: str | int) -> Iterator[Rows]:
    """Yields the Batch of each optimizer step by ``minibatch_rows``, from one Batch of all items per trained step."""
    batch = type(steps[0]).cat(steps)
    for rows in minibatch_rows(len(steps[0]), len(steps), size, fraction, noise, *words, device=batch.k.device):
        yield batch[rows]
