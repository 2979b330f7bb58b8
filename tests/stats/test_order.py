"""Paired tests of each two rows tell rows apart, from five trainings on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchbench.stats.order import contrasts
from tests.stats.test_multiple import trained


def row(lift: float, seeds: int, spread: float = 0.05, start: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(int(100 * (lift + 2)) + start)
    return trained([[[p + lift + spread * rng.normal()] for p in range(8)] for _ in range(seeds)])


def test_rows_that_differ_are_told_apart_and_equal_ones_are_not() -> None:
    found = contrasts({"low": row(0, 5), "high": row(1, 5), "twin": row(1, 5, start=1)})
    assert found.decided and found.tests == 3 and found.dropped == ()
    assert set(found.apart) == {("high", "low"), ("twin", "low")}
    assert {frozenset(pair) for pair in found.together} == {frozenset({"high", "twin"})}


def test_one_training_decides_nothing() -> None:
    found = contrasts({"low": row(0, 1), "high": row(1, 1)})
    assert (found.decided, found.fewest, found.apart) == (False, 1, ())


def test_the_base_serves_every_training() -> None:
    found = contrasts({"base": row(0, 1), "high": row(1, 5), "low": row(-1, 5)}, ["base"])
    assert found.decided and set(found.apart) == {("high", "base"), ("base", "low"), ("high", "low")}


def test_a_row_of_one_training_is_paired_with_one() -> None:
    """A trained row of one training is not the base: only its own seed of the other row counts."""
    found = contrasts({"one": row(0, 1), "five": row(1, 5)})
    assert (found.fewest, found.decided, found.dropped) == (1, False, (1, 2, 3, 4))
