"""Means and intervals against values derived by hand, against properties, and against their promised coverage."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchbench.stats.intervals import mean, mean_of_matrix
from benchbench.stats.matrix import ScoreMatrix, score_matrix


def frame(scores: list[list[float]], train_seed: int | None = None) -> pd.DataFrame:
    """Scores by prompt."""
    rows = [{"prompt_index": p, "score": s} for p, image in enumerate(scores) for s in image]
    made = pd.DataFrame(rows)
    return made if train_seed is None else made.assign(train_seed=train_seed)


def table(means: np.ndarray) -> ScoreMatrix:
    return ScoreMatrix(means, np.ones_like(means), tuple(range(means.shape[1])))


def test_three_prompts_by_hand() -> None:
    """Prompt means 1, 2, 6: mean 3, variance (4+1+9)/2 = 7, standard error sqrt(7/3) = 1.5275; t(2) = 4.3027."""
    found = mean(frame([[0, 2], [2, 2], [5, 7]]))
    assert (found.value, found.images, found.prompts, found.seeds) == (3, 6, 3, 1)
    assert found.low == pytest.approx(3 - 6.5724, abs=1e-3)
    assert found.high == pytest.approx(3 + 6.5724, abs=1e-3)


def test_one_prompt_gives_no_interval() -> None:
    found = mean(frame([[1, 3]]))
    assert (found.value, found.low, found.high) == (2, None, None)


def test_two_equal_seeds_on_one_prompt_do_not_divide_by_zero() -> None:
    found = mean_of_matrix(table(np.array([[2.0], [2.0]])))
    assert (found.low, found.high) == (2, 2)


def test_images_of_one_prompt_are_no_new_evidence() -> None:
    x = np.random.default_rng(0).normal(size=20)
    once, often = mean(frame([[v] for v in x])), mean(frame([[v] * 50 for v in x]))
    assert once.low is not None and once.high is not None
    assert (often.low, often.high) == (pytest.approx(once.low), pytest.approx(once.high))


def test_prompts_weigh_by_their_images() -> None:
    assert mean(frame([[1], [4, 4, 4]])).value == 13 / 4


def test_seeds_are_compared_on_the_prompts_that_all_have() -> None:
    both = pd.concat([frame([[1], [3], [100]], 0), frame([[2], [4]], 1)])
    assert score_matrix(both).sums.tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize("rows", [[], [[float("nan")]], [[float("inf")]]])
def test_what_cannot_be_averaged_is_refused(rows: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="score"):
        mean(frame(rows) if rows else pd.DataFrame({"prompt_index": [], "score": []}))


scores = st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=4), min_size=2, max_size=25)


@given(scores)
def test_an_interval_holds_its_mean_and_repeats(rows: list[list[float]]) -> None:
    found = mean(frame(rows))
    assert found == mean(frame(rows))
    assert found.low is not None and found.high is not None
    assert found.low <= found.value + 1e-9 and found.value <= found.high + 1e-9


@given(scores, st.floats(0.1, 10), st.floats(-50, 50))
def test_an_interval_moves_with_the_unit(rows: list[list[float]], a: float, b: float) -> None:
    one, other = mean(frame(rows)), mean(frame([[a * v + b for v in row] for row in rows]))
    for x, y in ((one.value, other.value), (one.low, other.low), (one.high, other.high)):
        assert x is not None and y == pytest.approx(a * x + b, abs=1e-6)


@given(scores)
def test_a_higher_level_is_wider(rows: list[list[float]]) -> None:
    narrow, wide = mean(frame(rows), 0.8), mean(frame(rows), 0.95)
    assert narrow.low is not None and wide.low is not None and narrow.high is not None and wide.high is not None
    assert wide.low <= narrow.low + 1e-9 and narrow.high <= wide.high + 1e-9


def coverage(draw: object, truth: float, repeats: int) -> float:
    hits = 0
    for _ in range(repeats):
        found = mean_of_matrix(draw())  # type: ignore[operator]
        assert found.low is not None and found.high is not None
        hits += found.low <= truth <= found.high
    return hits / repeats


@pytest.mark.parametrize("prompts", [4, 12])
def test_coverage_over_prompts(prompts: int) -> None:
    """0.95 promised; 400 repeats have a standard error of 0.011."""
    rng = np.random.default_rng(prompts)
    assert coverage(lambda: table(rng.normal(size=(1, prompts))), 0, 400) > 0.91


@pytest.mark.slow
@pytest.mark.parametrize("prompts", [20, 45, 200])
def test_coverage_of_skewed_prompts(prompts: int) -> None:
    """Log-normal scores are about as skewed as any reward. Student's t then covers 0.87 of 20 prompts (se 0.012)."""
    rng = np.random.default_rng(prompts)
    assert coverage(lambda: table(rng.lognormal(size=(1, prompts))), float(np.exp(0.5)), 800) > 0.84


def test_the_prompts_alone_would_promise_too_much() -> None:
    """Why there are two levels: with seeds that differ, an interval over prompts covers far less than it says."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(300):
        cell = rng.normal(0, 1, (3, 1)) + rng.normal(0, 0.5, (3, 45))
        by_prompt = cell.mean(0)
        half = stats.t.ppf(0.975, 44) * by_prompt.std(ddof=1) / np.sqrt(45)
        hits += abs(by_prompt.mean()) <= half
    assert hits / 300 < 0.4
