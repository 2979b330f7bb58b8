"""The difference of two rows of a table, prompt by prompt: what the prompts share cancels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchbench.errors import UsageError
from benchbench.stats.cells import Cells, cells
from benchbench.stats.intervals import LEVEL, Interval, of_cells, variance
from benchbench.stats.permutation import p_value

SAME = ["prompt_index", "prompt", "sample", "eval_seed", "version"]


@dataclass(frozen=True)
class Difference:
    """``raw`` in the reward's unit; ``gain`` in standard deviations of the base, None where the base does not vary.

    The base's standard deviation (over its images), ``unit``, is taken as known: the gain's interval is the raw one,
    divided. ``p`` is two-sided (stats/permutation.py); ``error`` is the standard error of ``raw``, with its degrees of
    freedom, None where one prompt does not tell.
    """

    raw: Interval
    gain: Interval | None
    p: float
    error: float | None
    freedom: float
    unit: float


def difference(frame: pd.DataFrame, base: pd.DataFrame, level: float = LEVEL) -> Difference:
    """``frame`` minus ``base`` for one reward, paired by prompt; the base has one training seed, or none.

    Errors: UsageError where the two were not sampled alike.
    """
    check_alike(frame, base)
    ours, theirs = cells(frame), cells(base)
    each = ours.means - theirs.means  # [S, P]: the base serves every training seed
    table = Cells(each, np.ones_like(each), ours.prompts)
    raw = of_cells(table, level)
    raw = Interval(raw.value, raw.low, raw.high, ours.images, raw.prompts, raw.seeds)
    spread = float(base.score.std(ddof=1))
    error, freedom = (variance(table)[0] ** 0.5, variance(table)[1]) if each.size > 1 else (None, 0.0)
    gain = raw.scaled(1 / spread) if spread > 0 else None
    return Difference(raw, gain, p_value(table), error, freedom, spread)


def check_alike(frame: pd.DataFrame, base: pd.DataFrame) -> None:
    """Errors: UsageError where two rows' scores do not stand for the same prompts, samples, seeds and version."""
    asked = base[SAME].drop_duplicates()
    groups = [part for _, part in frame.groupby("train_seed")] if "train_seed" in frame else [frame]
    for part in groups:
        if len(part) != len(asked) or len(part[SAME].merge(asked)) != len(asked):
            raise UsageError(
                "two rows of a table cannot be compared",
                "they were not sampled on the same prompts, sample numbers, evaluation seeds and reward version",
                "evaluate them again with the same options",
            )
