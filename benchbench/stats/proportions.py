"""Shares, whose intervals stay between 0 and 1 and have a width where all or nothing was counted; and win rates.

Eight of eight is no proof of always: there the bootstrap and Student's t give an interval of no width at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from benchbench.stats.cells import cells
from benchbench.stats.intervals import LEVEL, Interval, variance
from benchbench.stats.paired import check_alike

PAIR = ["prompt_index", "sample", "eval_seed"]


@dataclass(frozen=True)
class Wins:
    """Counts of image pairs. A draw is half a win in ``rate`` and ``wilson``.

    ``wilson`` takes every pair as independent, as published tables do; ``rate`` is clustered by prompt and training
    seed, and is the one to go by.
    """

    win: int
    draw: int
    lose: int
    rate: Interval
    wilson: tuple[float, float]


def wilson(successes: float, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a proportion; ``successes`` may be a half, since draws are half a win each.

    Errors: ValueError where there is no trial or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    return _score(successes / trials, trials, float(stats.norm.ppf((1 + level) / 2)))


def share(frame: pd.DataFrame, level: float = LEVEL) -> Interval:
    """The mean of scores between 0 and 1, clustered by prompt and training seed: Wilson's interval of as many trials
    as would be independent, with Student's quantile.

    p (1 - p) / V independent trials have the variance V that the clusters show (Korn and Graubard, Survey Methodology
    24, 1998), but never more than there are images. Where all scores are 0 or all are 1 no spread is seen, over prompts
    or trainings, and every prompt counts as one trial. One prompt has no interval. Simulated coverage at 95 %: 0.90 to
    0.99 for 8 to 45 prompts of five images that are half alike, and shares from 0.05 to 0.95. Errors: ValueError.
    """
    table = cells(frame)
    seeds, prompts = table.sums.shape
    value = float(table.sums.sum() / table.counts.sum())
    low = high = None
    if prompts > 1:
        spread, freedom = variance(table)
        inside = value * (1 - value)
        freedom = freedom if inside else prompts - 1
        trials = prompts if inside == 0 else min(inside / spread, table.images) if spread > 0 else table.images
        low, high = _score(value, trials, float(stats.t.ppf((1 + level) / 2, freedom)))
    return Interval(value, low, high, table.images, prompts, seeds)


def _score(value: float, trials: float, quantile: float) -> tuple[float, float]:
    shrink = 1 + quantile**2 / trials
    centre = (value + quantile**2 / (2 * trials)) / shrink
    half = quantile / shrink * np.sqrt(value * (1 - value) / trials + quantile**2 / (4 * trials**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def wins(frame: pd.DataFrame, base: pd.DataFrame, level: float = LEVEL) -> Wins:
    """``frame`` against ``base`` under one reward: pairs of the same prompt, sample number and evaluation seed.

    The base has one training seed, or none, and serves every training of ``frame``. Errors: UsageError where the two
    were not sampled alike.
    """
    check_alike(frame, base)
    both = frame.merge(base[[*PAIR, "score"]], on=PAIR, suffixes=("", "_base"))
    sign = np.sign(both.score - both.score_base)
    win, draw, lose = (int((sign == value).sum()) for value in (1, 0, -1))
    rate = share(both.assign(score=(1 + sign) / 2), level)
    return Wins(win, draw, lose, rate, wilson(win + draw / 2, len(both), level))
