"""Groups scores by training seed and prompt. Every estimator of this package starts from the resulting matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class ScoreMatrix:
    """Sums and counts of scores, float64 [S, P], for S training seeds and the P prompts that all of them have."""

    sums: np.ndarray
    counts: np.ndarray
    prompts: tuple[int, ...]

    @property
    def means(self) -> np.ndarray:
        """Mean score by training seed and prompt, float64 [S, P]."""
        means: np.ndarray = self.sums / self.counts
        return means

    @property
    def images(self) -> int:
        """Number of scores in the matrix, one per image."""
        return int(self.counts.sum())


def score_matrix(frame: pd.DataFrame) -> ScoreMatrix:
    """Groups score rows with the columns prompt_index, score and, for several trainings, train_seed.

    Errors: ValueError for no rows, for a score that is not finite, and where the seeds have no prompt in common.
    """
    if frame.empty:
        raise ValueError("no scores to summarise")
    if not np.isfinite(frame.score).all():
        raise ValueError("a score is not a finite number")
    seeds = frame.train_seed if "train_seed" in frame else pd.Series(0, index=frame.index)
    grouped = frame.score.groupby([seeds.rename("train_seed"), frame.prompt_index])
    sums = grouped.sum().unstack().dropna(axis=1)
    counts = grouped.count().unstack().reindex(columns=sums.columns)
    if sums.empty:
        raise ValueError("the training seeds have no prompt in common")
    return ScoreMatrix(sums.to_numpy(float), counts.to_numpy(float), tuple(int(p) for p in sums.columns))
