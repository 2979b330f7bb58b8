"""The one test of this package: a mean over training seeds and prompts, its interval, and the p-value of zero.

Images of one prompt are alike, and so are images of one training. Seeds and prompts are crossed: every training is
sampled on every prompt. The mean of all cells has one variance from each level (Owen, Annals of Applied Statistics 1,
2007):

    V_seed = var(seed means) / S        V_prompt = var(prompt means) / P

The half width of the interval adds the two levels' own half widths as the sides of a right angle, each with its own
Student quantile (Graybill and Wang, Journal of the American Statistical Association 75, 1980):

    h(alpha)^2 = t(1 - alpha/2; S - 1)^2 V_seed + t(1 - alpha/2; P - 1)^2 V_prompt

No degrees of freedom are estimated. Satterthwaite's estimate jumps to hundreds where a few seed means happen to lie
close together; with 3 trainings and 48 comparisons that gave a false star in 4 to 46 of 100 tables.

The p-value is the alpha at which h(alpha) equals the distance of the mean from zero, so interval and verdict never
disagree. The noise of the images is counted in both levels: where nothing else varies, the 95 % interval covers 99.5 %.
A level with one member (one training, or one prompt) adds nothing: the interval then describes that training or prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchbench.stats.matrix import ScoreMatrix
from benchbench.stats.quantiles import t_quantile

SMALLEST_P = 1e-200


@dataclass(frozen=True)
class TwoLevelMean:
    """The mean of a matrix, the variances that seeds and prompts give it, and the numbers of seeds and prompts.

    A variance is 0 where its level has one member.
    """

    value: float
    seed_variance: float
    prompt_variance: float
    seeds: int
    prompts: int

    def half_width(self, alpha: float) -> float | None:
        """Returns the half width of the 1 - ``alpha`` interval; None for one prompt and one training seed."""
        if self.seeds == 1 and self.prompts == 1:
            return None
        return float(half_width(alpha, self.seed_variance, self.prompt_variance, self.seeds, self.prompts))

    def interval(self, level: float) -> tuple[float, float] | tuple[None, None]:
        """Returns the bounds of the interval at ``level``; None, None for one prompt and one training seed."""
        half = self.half_width(1 - level)
        return (None, None) if half is None else (self.value - half, self.value + half)

    @property
    def p(self) -> float:
        """The largest alpha whose interval excludes zero; 1 where the mean is zero or has no interval."""
        distance = abs(self.value)
        if distance == 0 or (self.seeds == 1 and self.prompts == 1):
            return 1.0
        return p_value(distance, self.seed_variance, self.prompt_variance, self.seeds, self.prompts)


def two_level_mean(matrix: ScoreMatrix) -> TwoLevelMean:
    """Returns the mean over the images of a matrix with its two variances.

    With unequal numbers of images the mean is a ratio of sums, and its variances are those of its linear part: the sums
    less the mean times the counts.
    """
    seeds, prompts = matrix.sums.shape
    value = float(matrix.sums.sum() / matrix.counts.sum())
    rest = matrix.sums - value * matrix.counts
    return TwoLevelMean(
        value,
        _variance(rest.sum(1), float(matrix.counts.sum()) / seeds),
        _variance(rest.sum(0), float(matrix.counts.sum()) / prompts),
        seeds,
        prompts,
    )


def _variance(rests: np.ndarray, count: float) -> float:
    """Returns the variance of the mean of n ``rests`` [n] about zero, in units of ``count`` images each."""
    n = len(rests)
    return float((rests**2).sum() / (n - 1) / n / count**2) if n > 1 else 0.0


def half_width(
    alpha: float,
    seed_variance: float | np.ndarray,
    prompt_variance: float | np.ndarray,
    seeds: int,
    prompts: int,
) -> float | np.ndarray:
    """Returns the half width of the 1 - ``alpha`` interval; of many means at once where the variances are arrays."""
    by_seed = -t_quantile(alpha / 2, seeds - 1) * np.sqrt(seed_variance) if seeds > 1 else 0.0
    by_prompt = -t_quantile(alpha / 2, prompts - 1) * np.sqrt(prompt_variance) if prompts > 1 else 0.0
    width: float | np.ndarray = np.hypot(by_seed, by_prompt)
    return width


def p_value(distance: float, seed_variance: float, prompt_variance: float, seeds: int, prompts: int) -> float:
    """Returns the alpha at which the half width equals ``distance``, which is positive; 0 below ``SMALLEST_P``."""

    def excess(log_alpha: float) -> float:
        width = half_width(10.0**log_alpha, seed_variance, prompt_variance, seeds, prompts)
        return float(np.log(width) - np.log(distance)) if width > 0 else -np.inf

    smallest = float(np.log10(SMALLEST_P))
    if excess(smallest) <= 0:
        return 0.0
    # at alpha = 1 the half width is zero, whose logarithm has no finite value: start just below
    largest = np.log10(1 - 1e-12)
    if excess(largest) >= 0:
        return 1.0
    from scipy import optimize  # slow to load, and few tables need it

    return float(10.0 ** optimize.brentq(excess, smallest, largest, xtol=1e-13, rtol=1e-13))
