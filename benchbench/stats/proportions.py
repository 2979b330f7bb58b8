"""Proportions and win rates, with Wilson intervals.

Wilson intervals stay between 0 and 1, and have a width even at 0 % and 100 %. The bootstrap and Student's t would give
eight successes of eight an interval of zero width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchbench.stats.intervals import LEVEL, Interval
from benchbench.stats.matrix import score_matrix
from benchbench.stats.paired import check_sampled_alike
from benchbench.stats.quantiles import normal_quantile, t_quantile
from benchbench.stats.two_level import two_level_mean

PAIR_KEYS = ["prompt_index", "sample", "eval_seed"]


@dataclass(frozen=True)
class Wins:
    """Numbers of image pairs won, drawn and lost, and the win rate, in which a draw counts as half a win.

    ``rate`` is clustered by prompt and training seed; prefer it. ``wilson`` is the interval that treats all pairs as
    independent, as published tables do.
    """

    win: int
    draw: int
    lose: int
    rate: Interval
    wilson: tuple[float, float]


def wilson(successes: float, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Returns Wilson's score interval of a proportion. ``successes`` may be fractional: a draw is half a win.

    Errors: ValueError for no trials, and for fewer successes than 0 or more than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    return wilson_interval(successes / trials, trials, normal_quantile((1 + level) / 2))


def share(frame: pd.DataFrame, level: float = LEVEL) -> Interval:
    """Returns the mean of scores between 0 and 1, with a Wilson interval for clustered samples.

    Wilson's interval depends on the quantile and the number of trials n through q²/n alone. Here q²/n is
    h² / (p (1 - p)), where h is the half width of the two-level interval (stats/two_level.py): what Korn and Graubard
    (Survey Methodology 24, 1998) call the effective number of trials, at most the number of images. Unlike p ± h it
    stays within 0 and 1. Where no cell varies, h is unknown and every prompt counts as one trial. One prompt of one
    training has no interval. Simulated coverage at 95 %: 0.90 to 0.99 for 8 to 45 prompts with five images, half of
    them alike, and proportions from 0.05 to 0.95. Columns and errors are those of ``score_matrix``.
    """
    matrix = score_matrix(frame)
    found = two_level_mean(matrix)
    low = high = None
    half = found.half_width(1 - level)
    if half is not None:
        binomial = found.value * (1 - found.value)
        quantile = normal_quantile((1 + level) / 2)
        if half > 0 and binomial > 0:
            trials = min(binomial * (quantile / half) ** 2, float(matrix.images))
        else:
            trials = float(found.prompts)
            quantile = float(t_quantile((1 + level) / 2, max(found.prompts, found.seeds) - 1))
        low, high = wilson_interval(found.value, trials, quantile)
    return Interval(found.value, low, high, matrix.images, found.prompts, found.seeds)


def wilson_interval(value: float, trials: float, quantile: float) -> tuple[float, float]:
    """Returns Wilson's interval of a proportion ``value`` of ``trials``, which need not be whole numbers."""
    shrink = 1 + quantile**2 / trials
    centre = (value + quantile**2 / (2 * trials)) / shrink
    half_width = quantile / shrink * np.sqrt(value * (1 - value) / trials + quantile**2 / (4 * trials**2))
    return max(0.0, float(centre - half_width)), min(1.0, float(centre + half_width))


def wins(frame: pd.DataFrame, base: pd.DataFrame, level: float = LEVEL) -> Wins:
    """Compares ``frame`` with ``base`` image by image under one reward.

    Images of the same prompt, sample number and evaluation seed form a pair. Every training of ``frame`` is compared
    with a base of one training, or of none; with a base of several, the trainings of one seed are compared. Errors:
    UsageError where the two were not sampled alike.
    """
    check_sampled_alike(frame, base)
    several = "train_seed" in base and base.train_seed.nunique() > 1
    keys = [*PAIR_KEYS, *(["train_seed"] if several else [])]
    merged = frame.merge(base[[*keys, "score"]], on=keys, suffixes=("", "_base"))
    sign = np.sign(merged.score - merged.score_base)
    win, draw, lose = (int((sign == value).sum()) for value in (1, 0, -1))
    rate = share(merged.assign(score=(1 + sign) / 2), level)
    return Wins(win, draw, lose, rate, wilson(win + draw / 2, len(merged), level))
