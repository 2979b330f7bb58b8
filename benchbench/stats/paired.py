"""Paired difference between two rows of a table, prompt by prompt, so that the difficulty of a prompt cancels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from benchbench.errors import UsageError
from benchbench.stats.intervals import LEVEL, Interval, mean_of_matrix
from benchbench.stats.matrix import ScoreMatrix, score_matrix
from benchbench.stats.trainings import FEWEST_TRAININGS
from benchbench.stats.two_level import two_level_mean

SAMPLE_KEYS = ["prompt_index", "prompt", "sample", "eval_seed", "version"]


@dataclass(frozen=True)
class Difference:
    """The mean difference of a row to another one, the base, with its test.

    ``raw`` is in the reward's unit. ``gain`` is ``raw`` divided by ``base_deviation``, the standard deviation of the
    base's scores over its images, which is treated as known; it is None where the base does not vary.
    ``p`` is two-sided, and below 1 - level exactly where the interval of ``raw`` excludes zero (stats/two_level.py).
    ``cells`` has the difference of each training seed and prompt; ``dropped`` lists the training seeds that only one of
    the two rows has, which are left out. ``trained`` is False where neither row was trained: prompts alone vary then.
    """

    raw: Interval
    gain: Interval | None
    p: float
    base_deviation: float
    cells: ScoreMatrix = field(compare=False, repr=False)
    dropped: tuple[int, ...] = ()
    trained: bool = True

    @property
    def decided(self) -> bool:
        """True where there are enough trainings for a verdict, or none that could vary."""
        return not self.trained or self.raw.seeds >= FEWEST_TRAININGS


def difference(
    frame: pd.DataFrame, base: pd.DataFrame, level: float = LEVEL, by_seed: bool = False, trained: bool = True
) -> Difference:
    """Returns ``frame`` minus ``base`` for one reward, paired by prompt and training seed.

    A base of one training, or of none, serves every training of ``frame``, unless ``by_seed`` says that it was trained
    like ``frame``. Of two trained rows, the trainings with one seed form a pair. ``trained``: False where neither was.
    Errors: UsageError where the two were not sampled alike, or have several trainings and no seed in common.
    """
    check_sampled_alike(frame, base)
    dropped: tuple[int, ...] = ()
    base_deviation = float(base.score.std(ddof=1))
    if by_seed or _seeds(base) > 1:
        frame, base, dropped = _common_seeds(frame, base)
    ours, theirs = score_matrix(frame), score_matrix(base)
    differences = ours.means - theirs.means  # [S, P] - [1, P] or [S, P]
    cells = ScoreMatrix(differences, np.ones_like(differences), ours.prompts)
    raw = mean_of_matrix(cells, level)
    raw = Interval(raw.value, raw.low, raw.high, ours.images, raw.prompts, raw.seeds)
    gain = raw.scaled(1 / base_deviation) if base_deviation > 0 else None
    return Difference(raw, gain, two_level_mean(cells).p, base_deviation, cells, dropped, trained)


def check_sampled_alike(frame: pd.DataFrame, base: pd.DataFrame) -> None:
    """Raises UsageError unless each training of both has the same prompts, samples, seeds and reward version."""
    expected = _trainings(base)[0][SAMPLE_KEYS].drop_duplicates().reset_index(drop=True)
    for rows in (*_trainings(frame), *_trainings(base)):
        if rows[SAMPLE_KEYS].reset_index(drop=True).equals(expected):  # in the same order, as nearly always
            continue
        if len(rows) != len(expected) or len(rows[SAMPLE_KEYS].merge(expected)) != len(expected):
            raise UsageError(
                "two rows of a table cannot be compared",
                "they were not sampled on the same prompts, sample numbers, evaluation seeds and reward version",
                "evaluate them again with the same options",
            )


def _trainings(frame: pd.DataFrame) -> list[pd.DataFrame]:
    return [rows for _, rows in frame.groupby("train_seed")] if "train_seed" in frame else [frame]


def _seeds(frame: pd.DataFrame) -> int:
    return int(frame.train_seed.nunique()) if "train_seed" in frame else 1


def _common_seeds(frame: pd.DataFrame, base: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, tuple[int, ...]]:
    """Returns both frames with the training seeds that both have, and the other seeds.

    Errors: UsageError where no seed is left.
    """
    ours, theirs = (set(rows.train_seed) if "train_seed" in rows else {0} for rows in (frame, base))
    common = ours & theirs
    if not common:
        raise UsageError(
            "two rows of a table cannot be paired",
            f"their trainings have no seed in common: {sorted(ours)} and {sorted(theirs)}",
            "train both with the same seeds",
        )
    kept = (rows[rows.train_seed.isin(common)] for rows in (frame, base))
    first, second = kept
    return first, second, tuple(sorted(int(seed) for seed in ours ^ theirs))
