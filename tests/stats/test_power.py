"""Variance components by hand, and the number of trainings against the test itself on drawn scores."""

from __future__ import annotations

import numpy as np
import pytest

from benchbench.stats.paired import Difference, difference
from benchbench.stats.power import Components, components, power, smallest_effect, trainings_needed
from benchbench.stats.trainings import MOST_TRAININGS
from tests.stats.simulated import coverage
from tests.stats.test_multiple import trained
from tests.stats.test_paired import frame
from tests.stats.test_two_level import matrix


def test_components_by_hand() -> None:
    """Cells [[0, 2], [4, 8]]: seed means 1, 6; prompt means 2, 5; grand mean 3.5.

    Squares: seeds 2 * (2.5² + 2.5²) = 25 with 1 degree; prompts 2 * (1.5² + 1.5²) = 9 with 1; rest: cells less seed and
    prompt mean plus grand mean are .5, -.5, -.5, .5: 1 with 1. Seed (25 - 1) / 2 = 12, prompt (9 - 1) / 2 = 4, cell 1.
    """
    assert components([matrix([[0, 2], [4, 8]])]) == pytest.approx(Components(12, 4, 1))


def test_a_negative_component_is_none() -> None:
    """Cells [[0, 2], [2, 0]]: seed and prompt means are equal, so both components are 0 - not below."""
    assert components([matrix([[0, 2], [2, 0]])]) == pytest.approx(Components(0, 0, 4))


def test_components_are_recovered_from_drawn_scores() -> None:
    rng = np.random.default_rng(0)
    drawn = [
        matrix(0.5 * rng.normal(size=(5, 1)) + 0.3 * rng.normal(size=(1, 45)) + rng.normal(size=(5, 45)))
        for _ in range(100)
    ]
    found = components(drawn)
    assert found is not None
    assert found == pytest.approx(Components(0.25, 0.09, 1.0), rel=0.15)


def test_one_training_has_no_components() -> None:
    assert components([matrix([[0, 2, 3]])]) is None
    assert trainings_needed([difference(frame([[1], [2]]), frame([[0], [3]]))], 1, 0.95) is None


@pytest.mark.parametrize(("seeds", "alpha"), [(5, 0.05), (10, 0.05 / 12)])
def test_power_is_that_of_the_test_on_drawn_scores(seeds: int, alpha: float) -> None:
    """4,000 whole experiments, score by score, against the shortcut through their variances; both have se 0.008."""
    rng, variances = np.random.default_rng(1), Components(0.04, 0.05, 0.4)
    drawn = (
        0.5
        + 0.2 * rng.standard_normal((40, 1, 100, seeds, 1))
        + np.sqrt(0.05) * rng.standard_normal((40, 1, 100, 1, 45))
        + np.sqrt(0.4) * rng.standard_normal((40, 1, 100, seeds, 45))
    )
    by_hand = 1 - coverage(iter(drawn), alpha)
    assert power(0.5, variances, seeds, 45, alpha) == pytest.approx(by_hand, abs=0.035)


def _rows(deviation: float) -> list[Difference]:
    rng = np.random.default_rng(0)
    base = frame([[v, v + 1] for v in rng.normal(size=45)])
    return [
        difference(
            trained([[[v, v + 1] for v in rng.normal(deviation * rng.normal(), 0.1, 45)] for _ in range(3)]), base
        )
        for _ in range(4)
    ]


def test_trainings_that_vary_more_need_more() -> None:
    few, many = (trainings_needed(_rows(deviation), 4, 0.95) for deviation in (0.01, 0.4))
    assert few is not None and many is not None and few < many
    assert trainings_needed(_rows(3.0), 4, 0.95) == MOST_TRAININGS + 1


def test_more_tests_need_more_trainings() -> None:
    one, family = (trainings_needed(_rows(0.3), tests, 0.95) for tests in (1, 48))
    assert one is not None and family is not None and one < family


@pytest.mark.parametrize(("seeds", "alpha"), [(3, 0.05), (10, 0.05 / 12)])
def test_the_smallest_effect_is_found_in_80_of_100(seeds: int, alpha: float) -> None:
    variances = Components(0.04, 0.05, 0.4)
    smallest = smallest_effect(variances, seeds, 45, alpha)
    assert power(smallest, variances, seeds, 45, alpha) == pytest.approx(0.8, abs=0.001)
