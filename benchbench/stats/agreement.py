"""Krippendorff's alpha: how far raters agree beyond chance, with any number of raters and missing votes.

Krippendorff, Content Analysis (2019), chapter 12. A unit that m >= 2 raters judged adds 1 / (m - 1) to the coincidence
o[c, k] for each ordered pair of its values. alpha = 1 - observed / expected disagreement, in which the difference of
two values is 0 or 1 (nominal), or the square of the number of values between them (ordinal).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Metric = Literal["nominal", "ordinal"]


def coincidences(values: np.ndarray, units: np.ndarray, kinds: int) -> np.ndarray:
    """Returns the coincidence matrix [K, K] of values 0..K-1, int [N], that were given to ``units`` int [N]."""
    _, unit = np.unique(units, return_inverse=True)
    counts = np.zeros((int(unit.max()) + 1 if len(unit) else 0, kinds))
    np.add.at(counts, (unit, values), 1)
    counts = counts[counts.sum(1) > 1]
    weights = 1 / (counts.sum(1) - 1)
    matrix: np.ndarray = (counts * weights[:, None]).T @ counts - np.diag((counts * weights[:, None]).sum(0))
    return matrix


def alpha(values: np.ndarray, units: np.ndarray, kinds: int, metric: Metric) -> float | None:
    """Returns alpha; 1 is agreement and 0 chance. None where no unit has two values or all values are the same."""
    observed = coincidences(values, units, kinds)
    totals = observed.sum(0)
    if np.count_nonzero(totals) < 2:
        return None
    between = _ordinal(totals) if metric == "ordinal" else 1 - np.eye(kinds)
    n = totals.sum()
    expected = (np.outer(totals, totals) * between).sum() / (n - 1)
    return float(1 - (observed * between).sum() / expected)


def _ordinal(totals: np.ndarray) -> np.ndarray:
    """Returns the squared ordinal distances [K, K]: values from c to k, both ends counted half."""
    ranks = np.cumsum(totals) - totals / 2
    distances: np.ndarray = (ranks[:, None] - ranks[None, :]) ** 2
    return distances
