"""Preference scorers of fewer choices are rewards with weights of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchbench.rewards import lookup
from results import train_proxies


def test_a_proxy_is_a_reward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four passes over 80 choices; it is a reward of its own, with a gradient, and not the scorer of all choices."""
    row = train_proxies.proxy(tmp_path, 80, 3, held_out=50)
    assert row["steps"] == 8 and 0 <= float(str(row["agrees_with_choices"])) <= 1
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    reward = lookup.require("proxy-80-3")
    picture = [Image.new("RGB", (32, 32), "red")]
    assert reward.differentiable and reward.identity() != lookup.get("shapes-pref").identity()
    assert reward().score(picture, ["a red circle"]) != lookup.get("shapes-pref")().score(picture, ["a red circle"])


def test_steps_are_those_of_the_whole_scorer_at_most() -> None:
    """225 choices x 4 passes / 40 a batch = 22; of 14,400 choices 1,440, where the recipe has 1,400."""
    assert [train_proxies.steps_for(size) for size in train_proxies.SIZES] == [22, 90, 360, 1400]
