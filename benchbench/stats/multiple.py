"""Several comparisons in one table: Holm's correction, and the effect that a test without a result could have found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from benchbench.stats.intervals import LEVEL
from benchbench.stats.paired import Difference
from benchbench.stats.power import detectable_effect

Key = TypeVar("Key")


@dataclass(frozen=True)
class Verdict:
    """The test of one difference: its p-value, the p-value after Holm's correction, and whether it is significant.

    ``detectable``, in the reward's unit, is the true difference that would be significant in 80 of 100 repetitions. It
    is None where the difference is significant, and for one prompt and one training seed.
    """

    p: float
    holm: float
    significant: bool
    detectable: float | None


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns Holm's adjusted p-values, in the given order.

    Calling those below alpha significant keeps the family-wise error at alpha. The i-th smallest of m p-values (i from
    0) is multiplied by m - i; the products are made non-decreasing and capped at 1 (Holm, 1979).
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))))
    return [float(value) for value in adjusted]


def corrected_verdicts(differences: Mapping[Key, Difference], level: float = LEVEL) -> dict[Key, Verdict]:
    """Returns a verdict on each difference of one table, corrected for all of them.

    Detectable effects are for Holm's strictest level, (1 - level) / m for m comparisons.
    """
    verdicts = {}
    adjusted = holm([difference.p for difference in differences.values()])
    alpha = (1 - level) / max(len(adjusted), 1)
    for (key, difference), adjusted_p in zip(differences.items(), adjusted, strict=True):
        significant = adjusted_p < 1 - level
        detectable = None
        if not significant:
            detectable = detectable_effect(difference.standard_error, difference.degrees_of_freedom, alpha)
        verdicts[key] = Verdict(difference.p, adjusted_p, significant, detectable)
    return verdicts
