"""Strengths and sign tests by hand, and how often intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from benchbench.stats.bradley_terry import strengths
from benchbench.stats.signs import sign_test
from benchbench.stats.two_way import two_way_mean


def test_two_arms_are_the_log_odds_of_the_win_rate() -> None:
    """The half width is the share's by the delta method: divided by p (1 - p), and halved by the sum of zero."""
    raters, prompts = (axis.reshape(-1) for axis in np.indices((4, 5)))
    outcomes = np.random.default_rng(0).choice([1, 1, 0, -1], 20)
    found = strengths(outcomes, np.zeros(20, int), np.ones(20, int), raters, prompts)
    share = two_way_mean((1 + outcomes) / 2, raters, prompts)
    assert found is not None
    assert found.values[0] - found.values[1] == pytest.approx(np.log(share.value / (1 - share.value)))
    half = share.half_width(0.95)
    assert half is not None
    assert found.half_widths == pytest.approx(np.full(2, half / (share.value * (1 - share.value)) / 2))


def test_three_arms_whose_wins_fit_exactly() -> None:
    """A beats B in 2 of 3, B beats C in 2 of 3, A beats C in 4 of 5: odds 2, 2 and 4, so the strengths are log 2, 0."""
    games = [(0, 1, 1)] * 2 + [(0, 1, -1)] + [(1, 2, 1)] * 2 + [(1, 2, -1)] + [(0, 2, 1)] * 4 + [(0, 2, -1)]
    first, second, outcomes = np.array(games).T
    found = strengths(outcomes, first, second, np.arange(11) % 3, np.arange(11) % 4)
    assert found is not None and found.values == pytest.approx([np.log(2), 0, -np.log(2)], abs=1e-8)


def test_intervals_of_many_votes_hold_the_truth_and_strengths_sum_to_zero() -> None:
    """Four arms of strengths 0.6, 0.2, -0.2, -0.6, eight raters, 30 prompts, no clustering: nearly all hold it."""
    truth = np.array([0.6, 0.2, -0.2, -0.6])
    raters, prompts, pair = (axis.reshape(-1) for axis in np.indices((8, 30, 6)))
    first, second = np.array([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])[pair].T
    chance, held = 1 / (1 + np.exp(truth[second] - truth[first])), 0
    for seed in range(50):
        outcomes = np.where(np.random.default_rng(seed).random(len(pair)) < chance, 1, -1)
        found = strengths(outcomes, first, second, raters, prompts)
        assert found is not None and found.values.sum() == pytest.approx(0, abs=1e-9)
        held += int((np.abs(found.values - truth) <= found.half_widths).sum())
    assert 188 <= held <= 200


def test_an_arm_that_never_wins_has_no_finite_strength() -> None:
    first, second = np.array([0, 0, 1, 1]), np.array([1, 1, 2, 2])
    assert strengths(np.array([1, -1, 1, 1]), first, second, np.arange(4), np.arange(4)) is None
    assert strengths(np.array([1, -1, 1, 0]), first, second, np.arange(4), np.arange(4)) is not None
    assert strengths(np.array([1, -1, 1, 0]), first, second, np.zeros(4, int), np.zeros(4, int)) is None


def test_the_sign_test_by_hand() -> None:
    """Clusters sum to 2, 1, 1, 1, 1 and 0: five to none, 2 / 2^5. With one against, 2 * (1 + 6) / 2^6."""
    values = np.array([1.0, 1, 1, 1, 1, 1, 1, -1])
    clusters = np.array([0, 0, 1, 2, 3, 4, 5, 5])
    found = sign_test(values, clusters)
    assert (found.first, found.even, found.second) == (5, 1, 0) and found.p == pytest.approx(1 / 16)
    against = sign_test(np.append(values, -1.0), np.append(clusters, 6))
    assert against.second == 1 and against.p == pytest.approx(14 / 64)
    assert sign_test(np.zeros(3), np.arange(3)).p == 1
