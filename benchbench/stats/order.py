"""How sure the order of several rows by their means is: how often it holds when prompts and trainings are resampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from benchbench.stats.cells import cells

RESAMPLES = 2000


def shares(
    frames: Mapping[str, pd.DataFrame], orders: Sequence[Sequence[str]], resamples: int = RESAMPLES
) -> list[float]:
    """The share of bootstrap resamples in which the rows' means lie in each of ``orders`` (row labels, best first).

    One draw of prompts serves all rows, since they were sampled on the same ones; each row's trainings are drawn by
    themselves. Frames hold one reward's rows (prompt_index, score, perhaps train_seed). Always the same numbers.
    Errors: ValueError where the rows have no prompt in common.
    """
    tables = {row: cells(frame) for row, frame in frames.items()}
    prompts = sorted(set.intersection(*(set(table.prompts) for table in tables.values())))
    if not prompts:
        raise ValueError("the rows have no prompt in common")
    rng = np.random.default_rng(0)
    times = rng.multinomial(len(prompts), np.full(len(prompts), 1 / len(prompts)), resamples).astype(float)  # [B, P]
    means: dict[str, np.ndarray] = {}
    for row, table in tables.items():
        at = [table.prompts.index(prompt) for prompt in prompts]
        trainings = len(table.sums)
        drawn = rng.multinomial(trainings, np.full(trainings, 1 / trainings), resamples).astype(float)  # [B, S]
        sums, counts = (np.einsum("bs,sp,bp->b", drawn, part[:, at], times) for part in (table.sums, table.counts))
        means[row] = sums / counts
    return [float(np.mean(np.all([means[a] > means[b] for a, b in _neighbours(order)], axis=0))) for order in orders]


def _neighbours(order: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(order, order[1:], strict=False))
