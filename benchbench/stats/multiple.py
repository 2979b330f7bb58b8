"""Several comparisons in one table: families of tests, Holm's correction, and which differences get a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from benchbench.stats.intervals import LEVEL
from benchbench.stats.paired import Difference

Key = TypeVar("Key")


@dataclass(frozen=True)
class Verdict:
    """The test of one difference: its p-value, the p-value after Holm's correction, and the verdict.

    ``significant`` is None where the row has too few trainings for a verdict: its numbers describe these trainings.
    ``tests`` is the number of different tests in the family.
    """

    p: float
    holm: float
    significant: bool | None
    tests: int


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


def corrected_verdicts(
    differences: Mapping[Key, Difference], level: float = LEVEL, family: Callable[[Key], object] = lambda key: None
) -> dict[Key, Verdict]:
    """Returns a verdict on each difference of one table, corrected within the family that ``family`` puts it in.

    One test counts once: the same scores under two names, or under two signs, are one test. Differences that can get no
    verdict, for too few trainings, do not count in the family of those that can; they are corrected among themselves.
    """
    families: dict[object, dict[bytes, list[Key]]] = {}
    for key, difference in differences.items():
        of_family = families.setdefault((family(key), difference.decided), {})
        of_family.setdefault(_test_of(difference), []).append(key)
    verdicts = {}
    for tests in families.values():
        adjusted = holm([differences[keys[0]].p for keys in tests.values()])
        for keys, adjusted_p in zip(tests.values(), adjusted, strict=True):
            for key in keys:
                significant = adjusted_p < 1 - level if differences[key].decided else None
                verdicts[key] = Verdict(differences[key].p, adjusted_p, significant, len(tests))
    return {key: verdicts[key] for key in differences}


def _test_of(difference: Difference) -> bytes:
    """Returns bytes that are equal for differences in proportion to each other, whose tests are one test."""
    cells = difference.cells.means
    largest = float(cells.flat[np.abs(cells).argmax()])
    scaled = np.round(cells / largest, 9) + 0.0 if largest else np.zeros_like(cells)  # + 0.0: no minus zero
    return repr(cells.shape).encode() + scaled.tobytes()
