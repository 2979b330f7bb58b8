"""The sign test on clusters: each prompt, or each rater, counts once, by which side it prefers on the whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SignTest:
    """Numbers of clusters that prefer the first side, neither and the second, and the exact two-sided p-value."""

    first: int
    even: int
    second: int
    p: float


def sign_test(values: np.ndarray, clusters: np.ndarray) -> SignTest:
    """Returns the test of values 1 (first side), 0 and -1, float [N], summed within ``clusters`` int [N].

    Even clusters are left out of the p-value, which is 1 where no other is left.
    """
    from scipy import stats  # slow to load; only the tables of studies need it

    _, number = np.unique(clusters, return_inverse=True)
    sums = np.bincount(number, weights=values)
    first, second = int((sums > 0).sum()), int((sums < 0).sum())
    p = float(stats.binomtest(first, first + second).pvalue) if first + second else 1.0
    return SignTest(first, len(sums) - first - second, second, p)
