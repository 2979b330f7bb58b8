"""p-values: by hand, by their properties, and by how often they err where nothing differs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchbench.stats import permutation
from benchbench.stats.intervals import mean_of_matrix
from benchbench.stats.matrix import ScoreMatrix
from benchbench.stats.permutation import p_value, sign_flip_test


def table(means: np.ndarray) -> ScoreMatrix:
    return ScoreMatrix(means, np.ones_like(means), tuple(range(means.shape[1])))


def test_sign_flips_by_hand() -> None:
    """1, 2, 3: of the 8 sign patterns only +++ and --- have a mean of at least 2 in size. 1, 2, -3: all 8 reach 0."""
    assert sign_flip_test(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 / 8)
    assert sign_flip_test(np.array([1.0, 2.0, -3.0])) == 1.0
    assert sign_flip_test(np.zeros(4)) == 1.0


def test_one_outlier_by_hand() -> None:
    """-1, 5: sizes of the means are 2 for (-,+), 3 for (+,+), and the mirrored two: all four reach 2."""
    assert sign_flip_test(np.array([-1.0, 5.0])) == 1.0


def test_ties_do_not_hang_on_the_order_of_addition() -> None:
    """1.5 + 1.5 - 1.5 + ... rounds one way forwards and another backwards, which once made 0.91 of 1.00."""
    x = np.array([0, 0, 0, 0, 1.5, 1.5, 1.5, 60.001, -63, -1.5])
    assert sign_flip_test(x) == sign_flip_test(x[::-1])


def test_ten_times_heads() -> None:
    """All signs one way: two of 2^10 patterns."""
    assert sign_flip_test(np.arange(1.0, 11)) == pytest.approx(2 / 1024)


def test_many_prompts_agree_with_the_t_test() -> None:
    x = np.random.default_rng(1).normal(0.15, 1, 200)
    assert sign_flip_test(x) == pytest.approx(float(stats.ttest_1samp(x, 0).pvalue), abs=0.01)


def test_two_seeds_by_hand() -> None:
    """Cells [[1, 3], [3, 5]]: mean 3, V = 2, freedom 2 (see test_intervals): t = 2.1213, p = 2 * sf = 0.1679.

    For two degrees of freedom p = 1 - t / sqrt(2 + t²) = 1 - 2.1213 / 2.5495.
    """
    assert p_value(table(np.array([[1.0, 3.0], [3.0, 5.0]]))) == pytest.approx(1 - 2.12132 / 2.54951, abs=1e-4)


def test_several_seeds_that_all_say_the_same() -> None:
    assert p_value(table(np.zeros((2, 3)))) == 1.0
    assert p_value(table(np.ones((2, 3)))) == 0.0


def test_one_prompt_tells_nothing() -> None:
    assert p_value(table(np.array([[5.0]]))) == 1.0


differences = st.lists(st.floats(-100, 100), min_size=1, max_size=11)


@given(differences, st.floats(0.01, 100))
def test_sign_and_unit_do_not_matter(values: list[float], factor: float) -> None:
    x = np.array(values)
    p = sign_flip_test(x)
    assert 0 < p <= 1 and sign_flip_test(-x) == p and sign_flip_test(x[::-1]) == p
    # a power of two scales without rounding, so that ties stay ties
    assert sign_flip_test(x * 2.0 ** round(np.log2(factor))) == p


@given(st.lists(st.lists(st.floats(-9, 9), min_size=4, max_size=4), min_size=2, max_size=4))
def test_p_and_interval_agree_for_several_seeds(rows: list[list[float]]) -> None:
    cells = table(np.array(rows))
    found, p = mean_of_matrix(cells), p_value(cells)
    assert found.low is not None and found.high is not None
    if abs(p - 0.05) > 1e-6:
        assert (p < 0.05) == (found.low > 0 or found.high < 0)


@pytest.mark.parametrize("prompts", [8, 45])
def test_it_errs_as_often_as_it_says(prompts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Null differences are called significant 5 times in 100; 600 repeats have a standard error of 0.009."""
    monkeypatch.setattr(permutation, "FLIPS", 499)
    rng = np.random.default_rng(prompts)
    errs = np.mean([sign_flip_test(rng.laplace(size=prompts)) < 0.05 for _ in range(600)])
    assert 0.02 < errs < 0.08


def test_why_seeds_are_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three trainings that differ, and no true difference: prompts alone call most of them significant, t few."""
    monkeypatch.setattr(permutation, "FLIPS", 499)
    rng = np.random.default_rng(0)
    drawn = [rng.normal(0, 1, (3, 1)) + rng.normal(0, 0.5, (1, 45)) + rng.normal(size=(3, 45)) for _ in range(300)]
    assert np.mean([sign_flip_test(cells.mean(0)) < 0.05 for cells in drawn]) > 0.6
    assert np.mean([p_value(table(cells)) < 0.05 for cells in drawn]) < 0.1
