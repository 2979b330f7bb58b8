"""Captions say how the learning rate of each row was chosen, from what the run folders hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchbench.evaluate.rates import rates_of
from benchbench.hub.weights import Weights
from benchbench.store.runs import Adapter, Run

OTHER = {"method": "spo", "preset": "tuned-0a1b2c3d", "train": {"lr": 0.002}}


def trained(settings: dict[str, Any]) -> Adapter:
    run = Run("x", Path("x"), "complete", {"config": settings}, {})
    return Adapter("x", Weights("lora", Path("x")), "", None, run)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"base": []}, ""),
        ({"theirs": [{}]}, ""),
        ({"gone": [{"method": "no-such-method", "preset": "shapes", "train": {"lr": 3e-5}}]}, ""),
        (
            {"a": [{"method": "ddpo", "preset": "shapes", "train": {"lr": 0.006}}], "b": [OTHER]},
            "Learning rates (preset shapes): a: 0.006. Learning rates (preset tuned-0a1b2c3d): b: 0.002.",
        ),
        (
            {"a": [{"method": "ddpo", "preset": "shapes", "train": {"lr": lr}} for lr in (0.001, 0.01)]},
            "Learning rates (of no preset): a: 0.001, 0.01.",
        ),
    ],
)
def test_a_caption_says_how_a_rate_was_chosen(rows: dict[str, list[dict[str, Any]]], said: str) -> None:
    assert rates_of({row: list(map(trained, settings)) for row, settings in rows.items()}) == said


def test_a_caption_says_that_nobody_has_searched_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchbench.presets.preset_values", lambda method, preset: {})
    settings = {"method": "ddpo", "preset": "shapes", "train": {"lr": 3e-5}}
    said = rates_of({"mine": [trained(settings)], "other": [trained(settings)]})
    assert said == "Learning rate of every training: 3e-05 (the default, which nobody has searched)."
