"""Measures how certain a ranking of rows by their means is, by resampling prompts and trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from benchbench.stats.matrix import score_matrix

RESAMPLES = 2000


def order_frequencies(
    frames: Mapping[str, pd.DataFrame], orders: Sequence[Sequence[str]], resamples: int = RESAMPLES
) -> list[float]:
    """Returns, for each of ``orders``, the fraction of bootstrap resamples whose row means are in that order.

    An order lists row labels, best first. ``frames`` has the score rows of one reward by row label, with the columns of
    ``score_matrix``. All rows were sampled on the same prompts, so each resample draws prompts once for all of them;
    trainings are drawn for each row on its own. The random seed is fixed.
    Errors: ValueError where the rows have no prompt in common.
    """
    matrices = {row: score_matrix(frame) for row, frame in frames.items()}
    prompts = sorted(set.intersection(*(set(matrix.prompts) for matrix in matrices.values())))
    if not prompts:
        raise ValueError("the rows have no prompt in common")
    rng = np.random.default_rng(0)
    prompt_counts = _draws(rng, len(prompts), resamples)
    means: dict[str, np.ndarray] = {}
    for row, matrix in matrices.items():
        columns = [matrix.prompts.index(prompt) for prompt in prompts]
        seed_counts = _draws(rng, len(matrix.sums), resamples)
        sums, counts = (
            np.einsum("bs,sp,bp->b", seed_counts, values[:, columns], prompt_counts)
            for values in (matrix.sums, matrix.counts)
        )
        means[row] = sums / counts
    return [float(np.mean(np.all([means[a] > means[b] for a, b in pairwise(order)], axis=0))) for order in orders]


def _draws(rng: np.random.Generator, size: int, resamples: int) -> np.ndarray:
    """Returns how often each of ``size`` items is drawn in each bootstrap resample, float64 [resamples, size]."""
    return rng.multinomial(size, np.full(size, 1 / size), resamples).astype(float)
