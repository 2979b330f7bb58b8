"""The search of a rate goes on beside an edge of the rates that were tried."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from results.tune_methods import search


@pytest.mark.parametrize(
    ("best", "tried"),
    [
        (2e-3, [(1e-3, 2e-3, 4e-3)]),
        (4e-3, [(1e-3, 2e-3, 4e-3), (1e-3, 2e-3, 4e-3, 8e-3)]),
        (8e-3, [(1e-3, 2e-3, 4e-3), (1e-3, 2e-3, 4e-3, 8e-3)]),
        (5e-4, [(1e-3, 2e-3, 4e-3), (5e-4, 1e-3, 2e-3, 4e-3)]),
    ],
)
def test_rates_beside_an_edge_are_tried(best: float, tried: list[tuple[float, ...]]) -> None:
    """The reward rises with the rate up to the best one, and falls beyond it."""
    asked: list[tuple[float, ...]] = []

    def trial(rates: Sequence[float]) -> float:
        asked.append(tuple(rates))
        return min(rates, key=lambda rate: abs(rate - best))

    assert search(trial) == best and asked == tried


def test_without_a_winner_a_lower_rate_is_tried_once() -> None:
    asked: list[int] = []
    assert search(lambda rates: asked.append(len(rates))) is None
    assert asked == [3, 4]
