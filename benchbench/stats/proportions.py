"""Wins, draws and losses of one row against another, image by image, with two intervals on the win rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from benchbench.stats.intervals import LEVEL, Interval, mean
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
    z = float(stats.norm.ppf((1 + level) / 2))
    share, shrink = successes / trials, 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / shrink
    half = z / shrink * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
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
    rate = mean(both.assign(score=(1 + sign) / 2), level)
    return Wins(win, draw, lose, rate, wilson(win + draw / 2, len(both), level))
