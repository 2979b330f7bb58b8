"""Many comparisons in one table: Holm's correction, and what a comparison without a verdict could have found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from benchbench.stats.intervals import LEVEL
from benchbench.stats.paired import Difference
from benchbench.stats.power import detectable

Key = TypeVar("Key")


@dataclass(frozen=True)
class Verdict:
    """A p-value alone and corrected for the table, and for a difference that is not significant the detectable one.

    ``detectable`` is in the reward's unit: the smallest true difference that would have been significant in 80 of 100
    repetitions. None where the difference is significant or one prompt tells nothing.
    """

    p: float
    holm: float
    significant: bool
    detectable: float | None


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the given order: below alpha means significant with a family-wise error of alpha.

    The i-th smallest of m (from 0) is multiplied by m - i, made non-decreasing and capped at 1 (Holm, 1979).
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))))
    return [float(value) for value in adjusted]


def judge(differences: Mapping[Key, Difference], level: float = LEVEL) -> dict[Key, Verdict]:
    """A verdict on each difference of one table, corrected for all of them.

    The detectable difference is at Holm's strictest level, (1 - level) / m, which is the first that must be passed.
    """
    verdicts = {}
    adjusted = holm([found.p for found in differences.values()])
    for (key, found), corrected in zip(differences.items(), adjusted, strict=True):
        significant = corrected < 1 - level
        least = None if significant else detectable(found.error, found.freedom, (1 - level) / len(adjusted))
        verdicts[key] = Verdict(found.p, corrected, significant, least)
    return verdicts
