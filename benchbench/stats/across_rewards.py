"""Summaries of rows over several rewards: the interquartile mean of gains, and the probability of improvement.

Both are those of Agarwal and others, Deep Reinforcement Learning at the Edge of the Statistical Precipice (2021), whose
tasks are rewards here and whose runs are trainings. Intervals are percentiles of a stratified bootstrap: trainings are
drawn again within each reward. Prompts are not: the summaries are of these prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchbench.stats.intervals import LEVEL, Interval

DRAWS = 2000
Gains = Sequence[NDArray[np.float64]]
"""The mean gain of each training of one row, [S], in standard deviations of the base: one array a reward."""


def interquartile_mean(gains: Gains, level: float = LEVEL) -> Interval:
    """Returns the mean of the middle half of all trainings on all rewards, with its interval.

    Of n values, n // 4 are left out at each end. Errors: ValueError for no training.
    """
    return _interval(lambda drawn: _middle(np.concatenate(drawn, axis=-1)), [gains], level)


def probability_of_improvement(first: Gains, second: Gains, level: float = LEVEL) -> Interval:
    """Returns how probable it is that a training of the first row gains more than one of the second, with its interval.

    It is the mean over rewards of the share of pairs that the first wins; a tie is half a win. Both must have the same
    rewards in one order. Errors: ValueError for no training.
    """

    def share(drawn: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        ours, theirs = drawn[: len(first)], drawn[len(first) :]
        mean: NDArray[np.float64] = np.mean([_wins(a, b) for a, b in zip(ours, theirs, strict=True)], axis=0)
        return mean

    return _interval(share, [first, second], level)


def _middle(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the mean of the middle half of the last axis."""
    cut = values.shape[-1] // 4
    middle: NDArray[np.float64] = np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(-1)
    return middle


def _wins(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the share of pairs of the last axes that ``ours`` wins."""
    above = ours[..., :, None] - theirs[..., None, :]
    share: NDArray[np.float64] = ((above > 0) + (above == 0) / 2).mean((-2, -1))
    return share


def _interval(
    statistic: Callable[[list[NDArray[np.float64]]], NDArray[np.float64]], rows: Sequence[Gains], level: float
) -> Interval:
    """Returns the statistic of the trainings and the percentiles of its bootstrap. The random seed is fixed."""
    strata = [np.asarray(values, float) for gains in rows for values in gains]
    if not strata or not all(map(len, strata)):
        raise ValueError("no trainings to summarise")
    rng = np.random.default_rng(0)
    drawn = [values[rng.integers(len(values), size=(DRAWS, len(values)))] for values in strata]
    low, high = np.quantile(statistic(drawn), [(1 - level) / 2, (1 + level) / 2])
    trainings = min(map(len, strata))
    return Interval(float(statistic(strata)), float(low), float(high), sum(map(len, strata)), 0, trainings)
