"""Letters of ties against all pairs."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from benchbench.stats.letters import letters


def test_rows_in_a_line() -> None:
    """The best row is told apart from all, the middle ones tie with their neighbours alone: a, b, bc, c."""
    apart = [("g", "t"), ("g", "d"), ("g", "base"), ("t", "base")]
    assert letters(["g", "t", "d", "base"], apart) == {"g": "a", "t": "b", "d": "bc", "base": "c"}


def test_no_row_and_no_pair() -> None:
    assert letters([], []) == {}
    assert letters(["x", "y"], []) == {"x": "a", "y": "a"}
    assert letters(["x", "y"], [("y", "x")]) == {"x": "a", "y": "b"}


def test_more_than_26_groups() -> None:
    rows = [f"row {i:02d}" for i in range(30)]
    found = letters(rows, list(combinations(rows, 2)))
    assert len(set(found.values())) == 30
    assert found["row 00"] == "a"
    assert found["row 29"] == "d1"


@given(st.integers(1, 8), st.data())
def test_two_rows_share_a_letter_exactly_where_they_are_not_told_apart(count: int, data: st.DataObject) -> None:
    rows = [f"r{i}" for i in range(count)]
    pairs = list(combinations(rows, 2))
    apart = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    found = letters(rows, apart)
    for pair in pairs:
        assert bool(set(found[pair[0]]) & set(found[pair[1]])) == (pair not in apart)
