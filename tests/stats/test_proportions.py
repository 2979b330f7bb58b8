"""Wilson's interval against scipy's, and win rates by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from benchbench.errors import UsageError
from benchbench.stats.proportions import share, wilson, wins
from tests.stats.test_paired import frame


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (5, 5), (1, 3), (37, 100), (499, 500)])
def test_wilson_is_that_of_scipy(successes: int, trials: int) -> None:
    theirs = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson(successes, trials) == (pytest.approx(theirs.low, abs=1e-9), pytest.approx(theirs.high, abs=1e-9))


def test_half_a_win_lies_between() -> None:
    lows, highs = zip(*(wilson(k, 20) for k in (7, 7.5, 8)), strict=True)
    assert list(lows) == sorted(lows) and list(highs) == sorted(highs) and len(set(lows)) == 3


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_what_is_no_proportion_is_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="successes of"):
        wilson(successes, trials)


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_a_share_around_the_share_and_mirrors(found: tuple[int, int]) -> None:
    k, n = found
    low, high = wilson(k, n)
    assert 0 <= low <= k / n + 1e-12 and k / n - 1e-12 <= high <= 1
    mirrored = wilson(n - k, n)
    assert mirrored == (pytest.approx(1 - high, abs=1e-9), pytest.approx(1 - low, abs=1e-9))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_coverage_of_wilson(p: float) -> None:
    """Summed over the binomial distribution of 50 trials, not simulated: 0.95 promised, 0.93 to 0.98 is known of it."""
    from scipy.stats import binom

    covered = sum(binom.pmf(k, 50, p) for k in range(51) if wilson(k, 50)[0] <= p <= wilson(k, 50)[1])
    assert 0.93 < covered < 0.98


def test_eight_of_eight_is_no_proof_of_always() -> None:
    """Eight prompts that all say 1, t(7) = 2.3646, q² = 5.5914: Wilson's lower end n / (n + q²) = 0.5886."""
    found = share(frame([[1, 1]] * 8))
    assert (found.value, found.high, found.images) == (1, 1, 16) and found.low == pytest.approx(0.5886, abs=1e-4)
    none = share(frame([[0, 0]] * 8))
    assert (none.value, none.low) == (0, 0) and none.high == pytest.approx(1 - 0.5886, abs=1e-4)


def test_never_in_three_trainings_is_as_rare_as_in_one() -> None:
    """No draw on 45 prompts: the upper end is t² / (45 + t²) with t = 2.015, Student's for 44 degrees, whatever the
    number of trainings, whose two degrees (t = 4.30) are of a spread that nobody saw.
    """
    one = frame([[0.0]] * 45)
    three = pd.concat([one.assign(train_seed=seed) for seed in range(3)])
    expected = 2.0154**2 / (45 + 2.0154**2)
    for found in (share(one), share(three)):
        assert found.low == 0 and found.high == pytest.approx(expected, abs=1e-4)


def test_a_share_of_independent_images_is_that_of_wilson() -> None:
    """100 prompts of one image, 37 ones: V = 0.37 * 0.63 / 99, so 99 trials; t(99) is nearly the normal quantile."""
    found, plain = share(frame([[float(i < 37)] for i in range(100)])), wilson(37, 100)
    assert (found.low, found.high) == (pytest.approx(plain[0], abs=2e-3), pytest.approx(plain[1], abs=2e-3))


def test_a_share_of_one_prompt_has_no_interval() -> None:
    assert share(frame([[1, 0]])).low is None


@pytest.mark.parametrize(("prompts", "p"), [(8, 0.05), (20, 0.5), (45, 0.9)])
def test_coverage_of_a_share_of_images_that_are_half_alike(prompts: int, p: float) -> None:
    """0.95 promised; 300 repeats have a standard error of 0.013. With 0.7 an image is its prompt's."""
    rng, hits = np.random.default_rng(prompts), 0
    rows = pd.DataFrame({"prompt_index": np.repeat(np.arange(prompts), 5)})
    for _ in range(300):
        ours, alike, own = rng.random((prompts, 1)) < p, rng.random((prompts, 5)) < 0.7, rng.random((prompts, 5)) < p
        found = share(rows.assign(score=np.where(alike, ours, own).astype(float).ravel()))
        assert found.low is not None and found.high is not None
        hits += found.low <= p <= found.high
    assert hits / 300 > 0.9


@settings(max_examples=40)
@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=3), min_size=2, max_size=12))
def test_a_share_stays_a_share(rows: list[list[float]]) -> None:
    found, other = share(frame(rows)), share(frame([[1 - v for v in row] for row in rows]))
    assert found.low is not None and found.high is not None and other.low is not None and other.high is not None
    assert 0 <= found.low <= found.value + 1e-9 and found.value - 1e-9 <= found.high <= 1 and found.low < found.high
    assert (found.low, found.high) == (pytest.approx(1 - other.high), pytest.approx(1 - other.low))


def test_wins_by_hand() -> None:
    """Pairs 3>1, 2=2, 0<5, 7>6, 9>8: three wins, a draw, a loss; by prompt 0.75 and 2/3, over five pairs 3.5/5."""
    ours, theirs = frame([[3, 2], [0, 7, 9]]), frame([[1, 2], [5, 6, 8]])
    found = wins(ours, theirs)
    assert (found.win, found.draw, found.lose) == (3, 1, 1)
    assert found.rate.value == pytest.approx(0.7) and found.wilson == wilson(3.5, 5)
    assert (found.rate.images, found.rate.prompts) == (5, 2)


def test_two_trainings_meet_one_base() -> None:
    both = pd.concat([frame([[1], [1]], 0), frame([[3], [3]], 1)])
    found = wins(both, frame([[2], [2]]))
    assert (found.win, found.lose, found.rate.seeds) == (2, 2, 2)


def test_images_of_one_prompt_are_no_new_evidence() -> None:
    """Wilson counts 20 times the pairs as 20 times the evidence; the clustered interval does not."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=30)
    once = wins(frame([[v] for v in scores]), frame([[0.0]] * 30))
    often = wins(frame([[v] * 20 for v in scores]), frame([[0.0] * 20] * 30))
    assert (often.rate.low, often.rate.high) == (pytest.approx(once.rate.low), pytest.approx(once.rate.high))
    assert often.wilson[1] - often.wilson[0] < 0.3 * (once.wilson[1] - once.wilson[0])


def test_pairs_must_match() -> None:
    with pytest.raises(UsageError, match="cannot be compared"):
        wins(frame([[1], [2]]), frame([[1]]))


@settings(max_examples=25)
@given(st.lists(st.integers(-2, 2), min_size=2, max_size=20))
def test_a_win_of_one_is_a_loss_of_the_other(values: list[int]) -> None:
    a, b = frame([[v] for v in values]), frame([[0.0] for _ in values])
    one, other = wins(a, b), wins(b, a)
    assert (one.win, one.draw, one.lose) == (other.lose, other.draw, other.win)
    assert one.rate.value == pytest.approx(1 - other.rate.value)
