"""The search of a rate goes on beside an edge of the rates that were tried."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from results.tune_methods import by_rate, search


@pytest.mark.parametrize(
    ("best", "tried"),
    [
        (2e-3, [(1e-3, 2e-3, 4e-3)]),
        (4e-3, [(1e-3, 2e-3, 4e-3), (1e-3, 2e-3, 4e-3, 8e-3)]),
        (8e-3, [(1e-3, 2e-3, 4e-3), (1e-3, 2e-3, 4e-3, 8e-3)]),
        (5e-4, [(1e-3, 2e-3, 4e-3), (5e-4, 1e-3, 2e-3, 4e-3), (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3)]),
    ],
)
def test_rates_beside_an_edge_are_tried(best: float, tried: list[tuple[float, ...]]) -> None:
    """F(.2) rises with the rate up to the best one, and falls beyond it."""
    asked: list[tuple[float, ...]] = []

    def trial(rates: Sequence[float]) -> dict[float, float]:
        asked.append(tuple(rates))
        return {rate: -abs(rate - best) for rate in rates}

    found = search(trial)
    assert max(found, key=lambda rate: found[rate]) == best and asked == tried


def test_f_of_a_rate_by_hand() -> None:
    """Of the losses 0, .02, ..., .2 two allow the base alone, three the first checkpoint, and six the second."""

    def point(lr: float, samples: int, gain: float, fall: float) -> dict[str, float]:
        return {"lr": lr, "samples": samples, "gain": gain, "fall": fall}

    tried = [point(1e-3, 48, 2.0, 0.03), point(1e-3, 96, 4.0, 0.09), point(2e-3, 48, 9.0, 0.3)]
    found = by_rate({"settings": {"rates": [1e-3, 2e-3]}, "tried": tried})
    assert found == {1e-3: pytest.approx((3 * 2 + 6 * 4) / 11), 2e-3: 0.0}
