"""Summaries over rewards: by hand, against scipy, and their intervals by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchbench.stats.across_rewards import interquartile_mean, probability_of_improvement


def test_the_interquartile_mean_by_hand() -> None:
    """Two of -9, 0, 1, 2, 3, 4, 5, 90 are left out at each end: (1 + 2 + 3 + 4) / 4 = 2.5."""
    found = interquartile_mean([np.array([90.0, 1, 3, 0]), np.array([2.0, -9, 4, 5])])
    assert found.value == 2.5
    assert found.low is not None and found.high is not None and found.low <= 2.5 <= found.high


def test_the_interquartile_mean_is_scipys_trimmed_mean() -> None:
    rng = np.random.default_rng(0)
    gains = [rng.normal(size=5) for _ in range(4)]
    assert interquartile_mean(gains).value == pytest.approx(stats.trim_mean(np.concatenate(gains), 0.25))


def test_the_probability_of_improvement_by_hand() -> None:
    """First reward: of 2 and 3 against 1 and 3, 2.5 of 4 pairs are won; second: 4 of 4. The mean is .8125."""
    found = probability_of_improvement(
        [np.array([2.0, 3]), np.array([5.0, 6])], [np.array([1.0, 3]), np.array([0.0, 1])]
    )
    assert found.value == 0.8125


def test_it_is_the_statistic_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = [rng.normal(size=10)], [rng.normal(size=7)]
    expected = stats.mannwhitneyu(ours[0], theirs[0]).statistic / 70
    assert probability_of_improvement(ours, theirs).value == pytest.approx(expected)


def test_no_training_is_no_summary() -> None:
    for gains in ([], [np.array([])]):
        with pytest.raises(ValueError, match="no trainings"):
            interquartile_mean(gains)


@pytest.mark.parametrize("trainings", [5, 10])
def test_intervals_hold_the_truth_about_as_often_as_they_say(trainings: int) -> None:
    """Four rewards, 200 tables: a share has a standard error of .016. With few trainings it covers too rarely."""
    rng, rewards = np.random.default_rng(trainings), 4
    held = np.zeros(2)
    truth = _truths()
    for _ in range(200):
        ours = list(rng.normal(0.3, 0.2, (rewards, trainings)))
        theirs = list(rng.normal(0.2, 0.2, (rewards, trainings)))
        found = (interquartile_mean(ours), probability_of_improvement(ours, theirs))
        held += [one.low <= true <= one.high for one, true in zip(found, truth, strict=True)]
    coverage = held / 200
    print(f"coverage with {trainings} trainings of 4 rewards: mean {coverage[0]:.3f}, probability {coverage[1]:.3f}")
    assert (coverage >= 0.88).all() and (coverage <= 0.98).all()


def _truths() -> tuple[float, float]:
    """Returns the summaries of infinitely many trainings; a difference of two has a deviation of .2 times root 2."""
    return 0.3, float(stats.norm.cdf(0.1 / (0.2 * np.sqrt(2))))
