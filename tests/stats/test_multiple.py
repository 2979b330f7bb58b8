"""Holm's correction by hand and by what it promises; the detectable effect against known tables and by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchbench.stats.multiple import corrected_verdicts, holm
from benchbench.stats.paired import difference
from benchbench.stats.power import detectable_effect
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


@pytest.mark.parametrize(("n", "effect"), [(34, 0.5), (52, 0.4), (15, 0.8)])
def test_detectable_inverts_the_usual_sample_sizes(n: int, effect: float) -> None:
    """A paired t-test with 34, 52 or 15 pairs has 80 % power for 0.5, 0.4 or 0.8 SD (tables of sample sizes)."""
    found = detectable_effect(1 / np.sqrt(n), n - 1, 0.05)
    assert found is not None and found <= effect and found == pytest.approx(effect, rel=0.03)


def test_detectable_by_simulation() -> None:
    """A difference of just that size is found in 80 of 100 repetitions; 4000 have a standard error of 0.006."""
    n, alpha = 20, 0.01
    shift = detectable_effect(1 / np.sqrt(n), n - 1, alpha)
    rng = np.random.default_rng(0)
    found = stats.ttest_1samp(rng.normal(shift, 1, (4000, n)), 0, axis=1).pvalue < alpha
    # the standard error is known here and estimated in the test, which the noncentral t takes into account
    assert found.mean() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("freedom", [1, 2, 2.4, 500])
def test_few_trainings_detect_little(freedom: float) -> None:
    found = detectable_effect(1.0, freedom, 0.05 / 24)
    assert found is not None and found > stats.t.ppf(1 - 0.05 / 48, freedom)


def test_one_prompt_detects_nothing() -> None:
    assert detectable_effect(None, 0, 0.05) is None


def test_judge_corrects_for_the_whole_table() -> None:
    """Ten prompts, all better: p = 2/1024 alone, 2/1024 * 30 = 0.0586 where 30 are compared."""
    better, base = frame([[v] for v in np.arange(1.0, 11)]), frame([[0.0]] * 10)
    one = difference(better, base)
    alone, many = corrected_verdicts({"a": one}), corrected_verdicts(dict.fromkeys(range(30), one))
    assert alone["a"].significant and alone["a"].detectable is None
    assert many[0].holm == pytest.approx(60 / 1024) and not many[0].significant
    assert many[0].detectable == detectable_effect(one.standard_error, 9, 0.05 / 30)
