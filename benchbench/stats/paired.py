"""Paired difference between two rows of a table, prompt by prompt, so that the difficulty of a prompt cancels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchbench.errors import UsageError
from benchbench.stats.intervals import LEVEL, Interval, mean_of_matrix, variance_of_mean
from benchbench.stats.matrix import ScoreMatrix, score_matrix
from benchbench.stats.permutation import p_value

SAMPLE_KEYS = ["prompt_index", "prompt", "sample", "eval_seed", "version"]


@dataclass(frozen=True)
class Difference:
    """The mean difference of a row to the base, with its test.

    ``raw`` is in the reward's unit. ``gain`` is ``raw`` divided by ``base_deviation``, the standard deviation of the
    base's scores over its images, which is treated as known; it is None where the base does not vary.
    ``p`` is two-sided (stats/permutation.py). ``standard_error`` is that of ``raw``; it is None, with no degrees of
    freedom, for one prompt and one training seed.
    """

    raw: Interval
    gain: Interval | None
    p: float
    standard_error: float | None
    degrees_of_freedom: float
    base_deviation: float


def difference(frame: pd.DataFrame, base: pd.DataFrame, level: float = LEVEL) -> Difference:
    """Returns ``frame`` minus ``base`` for one reward, paired by prompt.

    The base has at most one training seed; every training seed of ``frame`` is compared with it.
    Errors: UsageError where the two were not sampled alike.
    """
    check_sampled_alike(frame, base)
    ours, theirs = score_matrix(frame), score_matrix(base)
    differences = ours.means - theirs.means  # [S, P] - [1, P]
    matrix = ScoreMatrix(differences, np.ones_like(differences), ours.prompts)
    raw = mean_of_matrix(matrix, level)
    raw = Interval(raw.value, raw.low, raw.high, ours.images, raw.prompts, raw.seeds)
    base_deviation = float(base.score.std(ddof=1))
    gain = raw.scaled(1 / base_deviation) if base_deviation > 0 else None
    standard_error, degrees_of_freedom = None, 0.0
    if differences.size > 1:
        variance, degrees_of_freedom = variance_of_mean(matrix)
        standard_error = variance**0.5
    return Difference(raw, gain, p_value(matrix), standard_error, degrees_of_freedom, base_deviation)


def check_sampled_alike(frame: pd.DataFrame, base: pd.DataFrame) -> None:
    """Raises UsageError unless each training of ``frame`` has the prompts, samples, seeds and version of the base."""
    expected = base[SAMPLE_KEYS].drop_duplicates()
    trainings = [rows for _, rows in frame.groupby("train_seed")] if "train_seed" in frame else [frame]
    for rows in trainings:
        if len(rows) != len(expected) or len(rows[SAMPLE_KEYS].merge(expected)) != len(expected):
            raise UsageError(
                "two rows of a table cannot be compared",
                "they were not sampled on the same prompts, sample numbers, evaluation seeds and reward version",
                "evaluate them again with the same options",
            )
