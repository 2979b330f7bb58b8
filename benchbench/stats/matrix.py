"""One partition feeds every estimator: images fall into cells of a training seed and a prompt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Cells:
    """Sums and counts of scores, float64 [S, P], for S training seeds and the P prompts that all of them have."""

    sums: np.ndarray
    counts: np.ndarray
    prompts: tuple[int, ...]

    @property
    def means(self) -> np.ndarray:
        """The mean score of each cell [S, P]."""
        return self.sums / self.counts

    @property
    def images(self) -> int:
        """How many scores went in."""
        return int(self.counts.sum())


def cells(frame: pd.DataFrame) -> Cells:
    """Cells of score rows (columns prompt_index, score, perhaps train_seed). Errors: ValueError for no row or NaN."""
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
    return Cells(sums.to_numpy(float), counts.to_numpy(float), tuple(int(p) for p in sums.columns))
