"""Stopping in time: the choice by hand, and a mean whose interval is that of every other mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbench.stats.frontier import LOSSES, Validated, choose, frontier
from benchbench.stats.paired import difference
from tests.stats.test_paired import frame


def test_the_choice_by_hand() -> None:
    """The gain grows with training, and the oracle's loss too; the last checkpoint loses too much for any delta."""
    checkpoints = {100: Validated(0.5, 0.01), 200: Validated(0.9, 0.05), 300: Validated(1.2, 0.3)}
    assert choose(checkpoints) == [0, 100, 100, 200, 200, 200, 200, 200, 200, 200, 200]
    assert LOSSES[:3] == (0, 0.02, 0.04) and LOSSES[-1] == 0.2
    assert choose(checkpoints, [0.05]) == [200]


def test_a_training_that_only_loses_is_the_base_model() -> None:
    assert choose({100: Validated(-0.2, 0.0), 200: Validated(1.0, 0.9)}) == [0] * 11


def test_of_equal_gains_the_earlier_counts() -> None:
    assert choose({200: Validated(0.5, 0.0), 100: Validated(0.5, 0.0)}, [0.0]) == [100]


@given(st.dictionaries(st.integers(1, 9), st.tuples(st.floats(-2, 2), st.floats(-0.5, 0.5))))
def test_more_loss_never_chooses_less_gain(checkpoints: dict[int, tuple[float, float]]) -> None:
    found = {0: Validated(0, 0)} | {seen: Validated(*values) for seen, values in checkpoints.items()}
    gains = [found[seen].gain for seen in choose({seen: v for seen, v in found.items() if seen})]
    assert gains == sorted(gains) and gains[0] >= 0


def test_the_frontier_by_hand() -> None:
    """One of four deltas chose the base (gain 0) and three a checkpoint with gains 4 and 8: 3 and 6, mean 4.5."""
    base = frame([[1], [5]])
    row = frontier({0: base, 96: frame([[5], [13]])}, [0, 96, 96, 96])
    assert row.score.tolist() == [4, 11]
    assert difference(row, base).raw.value == 4.5


def test_checkpoints_of_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="not sampled alike"):
        frontier({0: frame([[1], [5]]), 96: frame([[1, 2], [5, 6]])}, [0, 96])
