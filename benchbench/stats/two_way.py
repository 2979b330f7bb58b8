"""A mean over votes whose raters and prompts are both random: variance clustered in two ways.

Votes of one rater are alike, and so are votes on one prompt. With e = x - mean over N votes, each way of grouping the
votes gives V = n / (n - 1) * sum over its n groups of (sum of e in the group)^2 / N^2, and the variance of the mean is

    V = V_raters + V_prompts - V_cells        (cells: one rater on one prompt)

as Cameron, Gelbach and Miller have it (Journal of Business and Economic Statistics 29, 2011). The difference may fall
below either of the first two, which it cannot do in expectation; the larger of the two is then taken. The quantile is
Student's with min(raters, prompts) - 1 degrees of freedom. With one rater only prompts are counted, and the interval
describes that rater; with one prompt the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchbench.stats.intervals import LEVEL, Interval
from benchbench.stats.proportions import wilson_interval
from benchbench.stats.quantiles import t_quantile, t_tail


@dataclass(frozen=True)
class TwoWayMean:
    """The mean of N votes, its variance, and the numbers of votes, raters and prompts."""

    value: float
    variance: float
    votes: int
    raters: int
    prompts: int

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the quantile: the smaller number of clusters less one; 0 means no interval."""
        return min((n for n in (self.raters, self.prompts) if n > 1), default=1) - 1

    def half_width(self, level: float = LEVEL) -> float | None:
        """Returns the half width of the interval at ``level``; None for one rater and one prompt."""
        if self.degrees < 1:
            return None
        return float(t_quantile((1 + level) / 2, self.degrees) * np.sqrt(self.variance))

    def interval(self, level: float = LEVEL) -> Interval:
        """Returns the mean with its interval; ``seeds`` of the result counts raters."""
        half = self.half_width(level)
        low, high = (None, None) if half is None else (self.value - half, self.value + half)
        return Interval(self.value, low, high, self.votes, self.prompts, self.raters)

    def share(self, level: float = LEVEL) -> Interval:
        """Returns a mean of values 0..1 with Wilson's interval of as many independent votes as have this variance.

        Where no vote differs, the smaller number of clusters stands for the number of votes.
        """
        half = self.half_width(level)
        if half is None:
            return self.interval(level)
        binomial = self.value * (1 - self.value)
        quantile = float(t_quantile((1 + level) / 2, self.degrees))
        votes = float(self.votes if half > 0 else self.degrees + 1)
        if half > 0 and binomial > 0:
            votes = min(binomial * (quantile / half) ** 2, float(self.votes))
        low, high = wilson_interval(self.value, votes, quantile)
        return Interval(self.value, low, high, self.votes, self.prompts, self.raters)

    @property
    def p(self) -> float:
        """Two-sided p-value of a mean of zero; 1 where there is no interval."""
        if self.degrees < 1 or self.value == 0:
            return 1.0
        if self.variance == 0:
            return 0.0
        return float(2 * t_tail(abs(self.value) / np.sqrt(self.variance), self.degrees))


def two_way_mean(values: np.ndarray, raters: np.ndarray, prompts: np.ndarray) -> TwoWayMean:
    """Returns the mean of values float [N] given by ``raters`` int [N] on ``prompts`` int [N].

    Raises ValueError for no values.
    """
    if not len(values):
        raise ValueError("no votes to summarise")
    value = float(np.mean(values))
    variance = two_way_variance(values - value, raters, prompts) / len(values) ** 2
    return TwoWayMean(value, variance, len(values), len(np.unique(raters)), len(np.unique(prompts)))


def two_way_variance(rests: np.ndarray, raters: np.ndarray, prompts: np.ndarray) -> float:
    """Returns the variance of the sum of ``rests`` [N], whose mean is zero, clustered by raters [N] and prompts [N].

    A way with one group says nothing of its variance and is left out.
    """
    ways = [_grouped(rests, groups) for groups in (raters, prompts) if len(np.unique(groups)) > 1]
    if len(ways) < 2:
        return ways[0] if ways else 0.0
    cells = np.unique(np.stack([raters, prompts]), axis=1, return_inverse=True)[1].reshape(-1)
    return max(ways[0] + ways[1] - _grouped(rests, cells), *ways)


def _grouped(rests: np.ndarray, groups: np.ndarray) -> float:
    """Returns n / (n - 1) times the sum over n groups of the square of a group's sum."""
    _, number = np.unique(groups, return_inverse=True)
    sums = np.bincount(number, weights=rests)
    return float((sums**2).sum() * len(sums) / (len(sums) - 1))
