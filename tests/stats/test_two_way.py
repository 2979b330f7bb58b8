"""Means clustered by rater and prompt: by hand, against the definition, and how often the interval holds the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchbench.stats.two_way import two_way_mean

RATERS = np.array([0, 0, 1, 1])
PROMPTS = np.array([0, 1, 0, 1])


def test_the_variance_by_hand() -> None:
    """Votes 1, 1, 1, -1 have the mean 0.5 and the rests 0.5, 0.5, 0.5, -1.5.

    Raters' sums are 1 and -1, prompts' sums too: 2 * (1 + 1) = 4 each. Cells: 4/3 * (3 * 0.25 + 2.25) = 4. So the sum
    has the variance 4 + 4 - 4 = 4, and the mean 4 / 16.
    """
    mean = two_way_mean(np.array([1.0, 1, 1, -1]), RATERS, PROMPTS)
    assert (mean.value, mean.variance, mean.votes, mean.raters, mean.prompts) == (0.5, 0.25, 4, 2, 2)
    assert mean.half_width(0.95) == pytest.approx(12.706204736 * 0.5)  # t of one degree of freedom
    assert mean.p == pytest.approx(0.5)  # t = 1 with one degree of freedom


def test_a_difference_below_one_way_takes_that_way() -> None:
    """Votes 1, -1, -1, 1: every rater and prompt sums to zero, and cells to 4/3 * 4, so the difference is negative."""
    assert two_way_mean(np.array([1.0, -1, -1, 1]), RATERS, PROMPTS).variance == 0
    # 1, 1, 0, 0: rests 0.5, 0.5, -0.5, -0.5. Raters 2 * 2 = 4, prompts 0, cells 4/3: 4 - 4/3 < 4, so 4 / 16
    assert two_way_mean(np.array([1.0, 1, 0, 0]), RATERS, PROMPTS).variance == pytest.approx(0.25)


def test_one_rater_leaves_the_prompts() -> None:
    """Then the variance is that of prompt means: here one vote a prompt, as in Student's t-test."""
    values = np.array([0.0, 1, 1, 0, 1])
    mean = two_way_mean(values, np.zeros(5, int), np.arange(5))
    test = stats.ttest_1samp(values, 0)
    assert mean.variance == pytest.approx(values.var(ddof=1) / 5) and mean.p == pytest.approx(test.pvalue)
    interval = mean.interval(0.9)
    assert (interval.low, interval.high) == pytest.approx(tuple(test.confidence_interval(0.9)))


def test_one_vote_has_no_interval() -> None:
    mean = two_way_mean(np.ones(1), np.zeros(1, int), np.zeros(1, int))
    assert mean.interval().low is None and mean.share().low is None and mean.p == 1
    with pytest.raises(ValueError, match="no votes"):
        two_way_mean(np.zeros(0), np.zeros(0, int), np.zeros(0, int))


def test_shares_stay_within_0_and_1_and_have_a_width_where_all_agree() -> None:
    """All of ten raters on twelve prompts agree: Wilson's interval of ten votes at t of nine degrees of freedom."""
    raters, prompts = (axis.reshape(-1) for axis in np.indices((10, 12)))
    share = two_way_mean(np.ones(120), raters, prompts).share()
    t = stats.t.ppf(0.975, 9)
    assert share.low == pytest.approx(10 / (10 + t**2)) and share.high == 1
    mostly = two_way_mean((prompts > 0).astype(float), raters, prompts).share()
    assert mostly.low is not None and 0 < mostly.low < 11 / 12 < (mostly.high or 0) <= 1


def test_intervals_hold_the_truth_of_crossed_random_effects() -> None:
    """Ten raters and 45 prompts, both random: of 300 panels 92 to 99 % hold the true mean, which is zero."""
    held, raters_and_prompts = 0, [axis.reshape(-1) for axis in np.indices((10, 45))]
    for seed in range(300):
        draw = np.random.default_rng(seed)
        values = draw.normal(size=(10, 1)) * 0.4 + draw.normal(size=(1, 45)) * 0.6 + draw.normal(size=(10, 45))
        interval = two_way_mean(values.reshape(-1), *raters_and_prompts).interval()
        assert interval.low is not None and interval.high is not None
        held += interval.low <= 0 <= interval.high
    assert 276 <= held <= 297
