"""Mean score with a confidence interval, clustered by prompt and by training seed.

Images of one prompt are alike, so an interval over images would be too narrow. Prompts are resampled instead.

* One training seed, at least 10 prompts: a bootstrap over prompts with the *expanded* percentile interval, whose level
  is corrected for a finite number of prompts (Hesterberg, The American Statistician 69, 2015).
  Simulated coverage at 95 %: 0.94 for 10 normal prompts (plain percentile 0.89, BCa 0.90), 0.90 for 10 log-normal ones
  (0.82, 0.81).
* One training seed, 2 to 9 prompts: Student's t over prompts. These are too few to resample: with 5 normal prompts the
  best of the three bootstraps covers 0.90, and with 3 none reaches 0.80.
* One prompt and one training seed: no interval.
* Several training seeds: seeds and prompts are crossed. Resampling both has the closed-form variance
  V = var(seed means)/S + var(prompt means)/P (pigeonhole bootstrap; Owen, Annals of Applied Statistics 1, 2007).
  The interval is ± t * sqrt(V) with Satterthwaite's degrees of freedom. Percentiles of the bootstrap cannot reach
  95 % with the usual two to five seeds (the range of three seeds contains the true mean 75 % of the time).
  Simulated coverage at 95 %: 0.91 (2 seeds) to 0.97, and 0.99 where neither seeds nor prompts differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from benchbench.stats.matrix import ScoreMatrix, score_matrix

LEVEL = 0.95
RESAMPLES = 9999
FEWEST_TO_RESAMPLE = 10  # prompts


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval, in the reward's unit, and the number of images, prompts and training seeds.

    ``low`` and ``high`` are None for one prompt and one training seed, which give no interval.
    """

    value: float
    low: float | None
    high: float | None
    images: int
    prompts: int
    seeds: int

    def scaled(self, factor: float) -> Interval:
        """Returns the interval in another unit: all values times ``factor``, which must be positive."""
        low, high = (None if bound is None else bound * factor for bound in (self.low, self.high))
        return Interval(self.value * factor, low, high, self.images, self.prompts, self.seeds)


def mean(frame: pd.DataFrame, level: float = LEVEL) -> Interval:
    """Returns the mean over images of one reward's score rows. Columns and errors are those of ``score_matrix``."""
    return mean_of_matrix(score_matrix(frame), level)


def mean_of_matrix(matrix: ScoreMatrix, level: float = LEVEL) -> Interval:
    """Returns the mean over the images of a matrix, with its interval."""
    seeds, prompts = matrix.sums.shape
    value = float(matrix.sums.sum() / matrix.counts.sum())
    if seeds > 1:
        low, high = _t_interval(value, *variance_of_mean(matrix), level)
    elif prompts >= FEWEST_TO_RESAMPLE:
        low, high = _bootstrap_interval(matrix.sums[0], matrix.counts[0], level)
    elif prompts > 1:
        low, high = _t_interval(value, *variance_of_mean(matrix), level)
    else:
        low, high = None, None
    return Interval(value, low, high, matrix.images, prompts, seeds)


def _bootstrap_interval(sums: np.ndarray, counts: np.ndarray, level: float) -> tuple[float, float]:
    """Returns the expanded percentile interval of sum(sums)/sum(counts) over resampled prompts.

    ``sums`` and ``counts`` are [P]. The random seed is fixed, so equal input gives equal numbers.
    """
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
        batch=1000,  # at most 16 kB of memory per prompt
        rng=np.random.default_rng(0),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def variance_of_mean(matrix: ScoreMatrix) -> tuple[float, float]:
    """Returns the variance of the mean and its degrees of freedom.

    One training seed varies over prompts alone; several vary over seeds and prompts (see the top of this file).
    Errors: ValueError for one prompt and one training seed.
    """
    seeds, prompts = matrix.sums.shape
    if seeds == 1 and prompts == 1:
        raise ValueError("one prompt and one training seed have no variance")
    if seeds == 1:
        return float(matrix.means[0].var(ddof=1) / prompts), prompts - 1
    by_seed = (matrix.sums.sum(1) / matrix.counts.sum(1)).var(ddof=1) / seeds
    by_prompt = (matrix.sums.sum(0) / matrix.counts.sum(0)).var(ddof=1) / prompts if prompts > 1 else 0.0
    total = by_seed + by_prompt
    if total == 0:
        return 0.0, seeds - 1
    return float(total), float(total**2 / (by_seed**2 / (seeds - 1) + by_prompt**2 / max(prompts - 1, 1)))


def _t_interval(value: float, variance: float, degrees_of_freedom: float, level: float) -> tuple[float, float]:
    half_width = float(stats.t.ppf((1 + level) / 2, degrees_of_freedom) * np.sqrt(variance))
    return value - half_width, value + half_width
