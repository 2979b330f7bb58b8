"""Quantiles and orders are those of scipy.stats, which takes most of a second to load."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from scipy import stats

from benchbench.stats.order import kendall_tau
from benchbench.stats.quantiles import normal_quantile, t_quantile, t_tail

PROBABILITIES = (1e-300, 1e-13, 0.001, 0.025, 0.3, 0.5, 0.8, 0.975, 1 - 1e-12)
DEGREES = (1, 1.5, 2, 4, 37.25, 1999, math.inf)


def test_quantiles_have_the_bits_of_scipy_stats() -> None:
    for p, degrees in itertools.product(PROBABILITIES, DEGREES):
        assert t_quantile(p, degrees) == float(stats.t.ppf(p, degrees))
        assert -t_quantile(p, degrees) == float(stats.t.isf(p, degrees))
    assert [normal_quantile(p) for p in PROBABILITIES] == [float(stats.norm.ppf(p)) for p in PROBABILITIES]


def test_tails_have_the_bits_of_scipy_stats() -> None:
    for value, degrees in itertools.product((-3.5, 0.0, 0.1, 2.0, 40.0), DEGREES):
        assert t_tail(value, degrees) == float(stats.t.sf(value, degrees))


def test_kendalls_tau_is_that_of_scipy_stats() -> None:
    draw = random.Random(0)
    for _ in range(200):
        size = draw.randint(2, 7)
        first, second = ([draw.randint(0, 4) for _ in range(size)] for _ in range(2))
        theirs = float(stats.kendalltau(first, second).statistic)
        assert kendall_tau(first, second) == pytest.approx(theirs, nan_ok=True)
    assert math.isnan(kendall_tau([1, 1], [1, 2])) and kendall_tau([1, 2, 3], [4, 5, 6]) == 1
