"""Holm's correction by hand and by what it promises; families, equal tests, and rows of few trainings."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbench.stats.multiple import corrected_verdicts, holm
from benchbench.stats.paired import Difference, difference
from tests.stats.test_paired import frame

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_holm_by_hand() -> None:
    """0.01, 0.04, 0.03, 0.005 of four: 4*0.005 = 0.02, 3*0.01 = 0.03, 2*0.03 = 0.06, then 0.04 raised to 0.06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1, 1] and holm([0.02]) == [0.02] and holm([]) == []


@given(probabilities)
def test_holm_lies_between_nothing_and_bonferroni(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(a <= b <= min(1, a * len(p)) + 1e-12 for a, b in zip(p, adjusted, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


@given(probabilities, st.randoms(use_true_random=False))
def test_holm_does_not_depend_on_the_order(p: list[float], random: object) -> None:
    places = list(range(len(p)))
    random.shuffle(places)  # type: ignore[attr-defined]
    moved = holm([p[i] for i in places])
    assert moved == [holm(p)[i] for i in places]


def test_holm_errs_once_in_twenty_tables() -> None:
    """Ten null hypotheses: some p below 0.05 in 40 of 100 tables, an adjusted one in 5; 2000 tables, se 0.005."""
    rng = np.random.default_rng(0)
    tables = rng.uniform(size=(2000, 10))
    assert (tables.min(1) < 0.05).mean() > 0.35
    assert 0.035 < np.mean([min(holm(list(p))) < 0.05 for p in tables]) < 0.065


def trained(scores: list[list[list[float]]]) -> pd.DataFrame:
    """Score rows of several trainings, each a list of prompts with their images."""
    return pd.concat([frame(prompts, seed) for seed, prompts in enumerate(scores)])


BASE = frame([[0.0], [1.0], [2.0]])


def _row(lift: float, seeds: int = 5, sign: int = 1) -> Difference:
    rng = np.random.default_rng(int(10 * lift))
    scores = [[[sign * (p + lift + 0.1 * rng.normal())] for p in range(3)] for _ in range(seeds)]
    return difference(trained(scores), BASE.assign(score=sign * BASE.score))


def test_verdicts_are_corrected_within_a_family() -> None:
    differences = {("a", "reward"): _row(1.0), ("b", "reward"): _row(0.1), ("a", "oracle"): _row(0.2)}
    verdicts = corrected_verdicts(differences, family=lambda key: key[1])
    p = {key: difference.p for key, difference in differences.items()}
    assert [verdict.tests for verdict in verdicts.values()] == [2, 2, 1]
    assert verdicts["a", "oracle"].holm == p["a", "oracle"]
    assert verdicts["a", "reward"].holm == pytest.approx(2 * p["a", "reward"])
    assert verdicts["b", "reward"].holm == pytest.approx(max(p["b", "reward"], 2 * p["a", "reward"]))
    assert all(verdict.significant == (verdict.holm < 0.05) for verdict in verdicts.values())


def test_one_test_under_two_names_or_signs_counts_once() -> None:
    """A size and its negative rank every image alike, and the oracle of one row may stand in two columns."""
    verdicts = corrected_verdicts(
        {"size": _row(1.0), "again": _row(1.0), "negative": _row(1.0, sign=-1), "b": _row(0.3)}
    )
    assert {verdict.tests for verdict in verdicts.values()} == {2}
    assert verdicts["size"] == verdicts["again"] == verdicts["negative"]


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_few_trainings_get_no_verdict(seeds: int) -> None:
    verdict = corrected_verdicts({"a": _row(1.0, seeds)})["a"]
    assert verdict.significant is None and verdict.p < 0.05


def test_five_trainings_get_a_verdict() -> None:
    verdicts = corrected_verdicts({"a": _row(1.0), "same": difference(trained([[[0.0], [1.0], [2.0]]] * 5), BASE)})
    assert verdicts["a"].significant is True
    assert (verdicts["same"].significant, verdicts["same"].p, verdicts["same"].holm) == (False, 1.0, 1.0)


def test_rows_without_a_verdict_do_not_count_in_the_family_of_others() -> None:
    """Two rows of five trainings are corrected for two tests, beside three of one training, which get no star."""
    rows = {f"five {lift}": _row(lift) for lift in (0.3, 0.2)}
    rows |= {f"one {lift}": _row(lift, seeds=1) for lift in (0.5, 0.6, 0.7)}
    verdicts = corrected_verdicts(rows)
    assert [verdict.tests for verdict in verdicts.values()] == [2, 2, 3, 3, 3]
    decided = ["five 0.3", "five 0.2"]
    assert [verdicts[row].holm for row in decided] == pytest.approx(holm([rows[row].p for row in decided]))
    assert all(verdicts[row].significant is None for row in rows if row not in decided)
