"""The difference of two rows of a table, prompt by prompt: what the prompts share cancels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchbench.errors import UsageError
from benchbench.stats.cells import Cells, cells
from benchbench.stats.intervals import LEVEL, Interval, of_cells

SAME = ["prompt_index", "prompt", "sample", "eval_seed", "version"]


@dataclass(frozen=True)
class Difference:
    """``raw`` in the reward's unit; ``gain`` in standard deviations of the base, None where the base does not vary.

    The base's standard deviation (over its images) is taken as known: the gain's interval is the raw one, divided.
    """

    raw: Interval
    gain: Interval | None


def difference(frame: pd.DataFrame, base: pd.DataFrame, level: float = LEVEL) -> Difference:
    """``frame`` minus ``base`` for one reward, paired by prompt; the base has one training seed, or none.

    Errors: UsageError where the two were not sampled alike.
    """
    _check_alike(frame, base)
    ours, theirs = cells(frame), cells(base)
    each = ours.means - theirs.means  # [S, P]: the base serves every training seed
    raw = of_cells(Cells(each, np.ones_like(each), ours.prompts), level)
    raw = Interval(raw.value, raw.low, raw.high, ours.images, raw.prompts, raw.seeds)
    spread = float(base.score.std(ddof=1))
    return Difference(raw, raw.scaled(1 / spread) if spread > 0 else None)


def _check_alike(frame: pd.DataFrame, base: pd.DataFrame) -> None:
    asked = base[SAME].drop_duplicates()
    groups = [part for _, part in frame.groupby("train_seed")] if "train_seed" in frame else [frame]
    for part in groups:
        if len(part) != len(asked) or len(part[SAME].merge(asked)) != len(asked):
            raise UsageError(
                "two rows of a table cannot be compared",
                "they were not sampled on the same prompts, sample numbers, evaluation seeds and reward version",
                "evaluate them again with the same options",
            )
