"""The mean score with an interval, clustered by prompt and, where there are several, by training seed.

Images of one prompt are alike, so an interval over images would be too narrow: what is resampled is the prompt.

* One training seed, at least 10 prompts: the bootstrap of prompts, with the percentile interval *expanded* so that its
  level holds for n prompts and not only for infinitely many (Hesterberg, The American Statistician 69, 2015).
  Simulated coverage at 95 %: 0.94 for 10 normal prompts (plain percentile 0.89, BCa 0.90), 0.90 for 10 log-normal ones
  (0.82, 0.81).
* 2 to 9 prompts: Student's t over prompts. So few cannot be resampled: with 5 normal prompts the best of the three
  bootstraps covers 0.90, with 3 none reaches 0.80.
* One prompt and one training seed: no interval.
* Several training seeds: seeds and prompts are crossed, and resampling both gives, in closed form, the variance
  V = var(seed means)/S + var(prompt means)/P (the pigeonhole bootstrap; Owen, Annals of Applied Statistics 1, 2007).
  The interval is ± t * sqrt(V) with Satterthwaite's degrees of freedom: the bootstrap's own percentiles cannot reach
  95 % with the two to five seeds that one can afford (three seeds' extremes enclose the centre 75 % of the time).
  Simulated coverage at 95 %: 0.91 (2 seeds) to 0.97, and 0.99 where neither seeds nor prompts differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from benchbench.stats.cells import Cells, cells

LEVEL = 0.95
RESAMPLES = 9999
FEWEST_TO_RESAMPLE = 10  # prompts


@dataclass(frozen=True)
class Interval:
    """A mean in the reward's unit with its interval, which is None where one prompt gives none; and from how much."""

    value: float
    low: float | None
    high: float | None
    images: int
    prompts: int
    seeds: int

    def scaled(self, factor: float) -> Interval:
        """In another unit; ``factor`` is positive."""
        low, high = (None if bound is None else bound * factor for bound in (self.low, self.high))
        return Interval(self.value * factor, low, high, self.images, self.prompts, self.seeds)


def mean(frame: pd.DataFrame, level: float = LEVEL) -> Interval:
    """The mean over images of one reward's rows (prompt_index, score, perhaps train_seed). Errors: ValueError."""
    return of_cells(cells(frame), level)


def of_cells(table: Cells, level: float = LEVEL) -> Interval:
    """The interval of a table of cells."""
    seeds, prompts = table.sums.shape
    value = float(table.sums.sum() / table.counts.sum())
    if seeds > 1:
        low, high = _t(value, *variance(table), level)
    elif prompts >= FEWEST_TO_RESAMPLE:
        low, high = _bootstrap(table.sums[0], table.counts[0], level)
    elif prompts > 1:
        low, high = _t(value, *variance(table), level)
    else:
        low, high = None, None
    return Interval(value, low, high, table.images, prompts, seeds)


def _bootstrap(sums: np.ndarray, counts: np.ndarray, level: float) -> tuple[float, float]:
    """The expanded percentile interval of sum(sums)/sum(counts) over resampled prompts; always the same numbers."""
    n = len(sums)
    tail = stats.norm.cdf(-np.sqrt(n / (n - 1)) * stats.t.ppf((1 + level) / 2, n - 1))
    result = stats.bootstrap(
        (sums, counts),
        lambda s, c, axis: s.sum(axis) / c.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=1 - 2 * tail,
        n_resamples=RESAMPLES,
        batch=1000,  # bounds the memory at 16 kB a prompt
        rng=np.random.default_rng(0),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def variance(table: Cells) -> tuple[float, float]:
    """The variance of the mean and its degrees of freedom: over prompts, or over training seeds and prompts.

    Errors: ValueError for one prompt and one seed, from which neither can be known.
    """
    seeds, prompts = table.sums.shape
    if seeds == 1 and prompts == 1:
        raise ValueError("one prompt and one training seed have no variance")
    if seeds == 1:
        return float(table.means[0].var(ddof=1) / prompts), prompts - 1
    by_seed = (table.sums.sum(1) / table.counts.sum(1)).var(ddof=1) / seeds
    by_prompt = (table.sums.sum(0) / table.counts.sum(0)).var(ddof=1) / prompts if prompts > 1 else 0.0
    total = by_seed + by_prompt
    if total == 0:
        return 0.0, seeds - 1
    return float(total), float(total**2 / (by_seed**2 / (seeds - 1) + by_prompt**2 / max(prompts - 1, 1)))


def _t(value: float, variance: float, freedom: float, level: float) -> tuple[float, float]:
    half = float(stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(variance))
    return value - half, value + half
