"""Who sees what: every pair often enough, loads equal, repeats later with sides swapped, all from the seed."""

from __future__ import annotations

from collections import Counter

import pytest

from benchbench.noise import Noise
from benchbench.study.assignment import assign, standard_count


@pytest.mark.parametrize(("pairs", "raters", "each"), [(225, 10, 10), (30, 7, 3), (5, 4, 1), (1, 3, 2)])
def test_every_pair_has_its_raters_and_loads_differ_by_one_at_most(pairs: int, raters: int, each: int) -> None:
    pages = assign(pairs, raters, each, 0, 0, Noise(0, "study"))
    seen = [Counter(item.number for item in of_rater) for of_rater in pages]
    assert all(count == 1 for counts in seen for count in counts.values())
    assert [sum(pair in counts for counts in seen) for pair in range(pairs)] == [each] * pairs
    loads = [len(of_rater) for of_rater in pages]
    assert max(loads) - min(loads) <= 1


def test_repeats_come_later_with_sides_swapped_and_checks_are_all_there() -> None:
    for of_rater in assign(40, 3, 3, 6, 5, Noise(1, "study")):
        place = {item.number: (i, item) for i, item in enumerate(of_rater) if item.kind == "pair"}
        repeats = [(i, item) for i, item in enumerate(of_rater) if item.kind == "repeat"]
        assert len(repeats) == len({item.number for _, item in repeats}) == 6
        for i, again in repeats:
            earlier, first = place[again.number]
            assert earlier < i and again.swapped != first.swapped
        assert sorted(item.number for item in of_rater if item.kind == "check") == list(range(5))


def test_sides_are_even_and_differ_between_raters_and_seeds() -> None:
    pages = assign(400, 2, 2, 0, 0, Noise(0, "study"))
    sides = [{item.number: item.swapped for item in of_rater} for of_rater in pages]
    for of_rater in sides:
        assert 150 < sum(of_rater.values()) < 250
    assert 100 < sum(sides[0][pair] != sides[1][pair] for pair in range(400)) < 300
    assert [item.number for item in pages[0]] != [item.number for item in pages[1]]
    assert assign(400, 2, 2, 0, 0, Noise(0, "study")) == pages != assign(400, 2, 2, 0, 0, Noise(1, "study"))


def test_a_study_of_few_pairs_repeats_no_more_than_it_has() -> None:
    [pages] = assign(3, 1, 1, standard_count(3), 0, Noise(0, "study"))
    assert [item.kind for item in pages].count("repeat") == 1 and standard_count(3) == 4 and standard_count(225) == 15
