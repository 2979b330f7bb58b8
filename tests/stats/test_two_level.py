"""The two-level test against values by hand, against scipy's where one level is left, and against what it promises."""

from __future__ import annotations

from math import atan, pi, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchbench.stats.matrix import ScoreMatrix
from benchbench.stats.two_level import half_width, p_value, two_level_mean


def matrix(cells: list[list[float]] | np.ndarray) -> ScoreMatrix:
    values = np.array(cells, float)
    return ScoreMatrix(values, np.ones_like(values), tuple(range(values.shape[1])))


def test_two_seeds_by_hand() -> None:
    """Cells [[1, 3], [3, 5]]: seed means 2, 4 and prompt means 2, 4, so both variances are 2 / 2 = 1. t(1) = 12.7062.

    h = sqrt(12.7062² + 12.7062²) = 17.9693. With equal levels p is that of t = 3 / sqrt(2) with one degree of freedom,
    1 - 2 atan(t) / pi.
    """
    found = two_level_mean(matrix([[1, 3], [3, 5]]))
    assert (found.value, found.seed_variance, found.prompt_variance) == (3, pytest.approx(1), pytest.approx(1))
    assert found.interval(0.95) == (pytest.approx(3 - 17.9693, abs=1e-3), pytest.approx(3 + 17.9693, abs=1e-3))
    assert found.p == pytest.approx(1 - 2 * atan(3 / sqrt(2)) / pi, rel=1e-9)


@pytest.mark.parametrize("as_seeds", [True, False])
def test_one_level_is_the_t_test(as_seeds: bool) -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 12)
    found = two_level_mean(matrix(values[:, None] if as_seeds else values[None]))
    theirs = stats.ttest_1samp(values, 0)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9)
    interval = theirs.confidence_interval(0.95)
    assert found.interval(0.95) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_prompts_with_more_images_weigh_more() -> None:
    """Images 1 and 4, 4, 4: mean 13/4. Rests 1 - 13/4 and 12 - 39/4 are -2.25 and 2.25; V = 2 * 2.25² / 1 / 2 / 2²."""
    found = two_level_mean(ScoreMatrix(np.array([[1.0, 12.0]]), np.array([[1.0, 3.0]]), (0, 1)))
    assert (found.value, found.prompt_variance) == (13 / 4, pytest.approx(2.25**2 / 4))


def test_one_prompt_and_one_training_have_no_interval() -> None:
    found = two_level_mean(matrix([[2.0]]))
    assert (found.interval(0.95), found.p) == ((None, None), 1.0)


def test_what_does_not_vary_is_certain_and_zero_is_nothing() -> None:
    assert two_level_mean(matrix([[2.0, 2.0], [2.0, 2.0]])).p == 0.0
    assert two_level_mean(matrix([[0.0, 0.0], [0.0, 0.0]])).p == 1.0
    assert two_level_mean(matrix([[-1.0, 1.0]])).p == 1.0


cells = st.lists(st.lists(st.floats(-100, 100), min_size=3, max_size=3), min_size=1, max_size=6)


@given(cells, st.floats(1e-6, 0.5))
def test_verdict_and_interval_never_disagree(rows: list[list[float]], alpha: float) -> None:
    found = two_level_mean(matrix(rows))
    low, high = found.interval(1 - alpha)
    assert low is not None and high is not None
    if abs(found.p - alpha) > 1e-6 * alpha:
        assert (found.p < alpha) == (low > 0 or high < 0)


@given(st.floats(1e-3, 1e3), st.floats(0, 10), st.floats(0, 10), st.integers(2, 20), st.integers(2, 60))
def test_p_is_where_the_half_width_is_the_distance(
    distance: float, seed: float, prompt: float, seeds: int, prompts: int
) -> None:
    p = p_value(distance, seed, prompt, seeds, prompts)
    if 1e-200 < p < 0.999:
        assert half_width(p, seed, prompt, seeds, prompts) == pytest.approx(distance, rel=1e-6)


@given(cells)
def test_the_sign_does_not_matter(rows: list[list[float]]) -> None:
    assert two_level_mean(matrix(rows)).p == two_level_mean(matrix([[-v for v in row] for row in rows])).p


def test_close_seed_means_buy_no_certainty() -> None:
    """Three trainings whose means lie close together by chance: the half width is at least Student's over 45 prompts.

    Estimated degrees of freedom would be in the hundreds here. At 0.05 / 48 the seeds' own quantile is 31.0.
    """
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(3, 45))
    drawn += 0.02 * np.array([[-1], [0], [1]]) - drawn.mean(1, keepdims=True)
    found = two_level_mean(matrix(drawn))
    assert found.seed_variance == pytest.approx(0.02**2 / 3)
    by_seed = stats.t.isf(0.05 / 48 / 2, 2) * sqrt(found.seed_variance)
    half = found.half_width(0.05 / 48)
    assert half is not None and half > by_seed == pytest.approx(31.0 * 0.02 / sqrt(3), rel=0.01)
