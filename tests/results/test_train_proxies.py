"""Preference scorers of fewer choices are rewards with weights of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from benchbench.rewards import lookup
from benchbench.shapes_build import pref
from benchbench.shapes_build.data import schedule
from results import train_proxies


def test_a_proxy_is_a_reward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four passes over 80 choices; it is a reward of its own, with a gradient, and not the scorer of all choices."""
    row = train_proxies.proxy(tmp_path, 80, 3, held_out=50, largest=120)
    assert row["steps"] == 8 and float(str(row["agrees_with_choices"])) > 0.5
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    reward = lookup.require("proxy-80-3")
    picture = [Image.new("RGB", (32, 32), "red")]
    assert reward.differentiable and reward.identity() != lookup.get("shapes-pref").identity()
    assert reward().score(picture, ["a red circle"]) != lookup.get("shapes-pref")().score(picture, ["a red circle"])


def test_scorers_of_one_seed_share_their_choices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The smaller training is a part of the larger one, and none of it is among the choices that both are judged by."""
    trained: list[list[int]] = []
    monkeypatch.setattr(train_proxies, "fit", lambda _model, _choices, rows, *_: trained.append(rows.tolist()))
    for size in (40, 80):
        train_proxies.proxy(tmp_path, size, 3, held_out=50, largest=120)
    judged = train_proxies.world(3, 170)[2][:50].tolist()
    assert trained[0] == trained[1][:40] and not set(trained[1]) & set(judged)
    assert min(judged) < 85 <= max(judged), "drawn and reconstructed pictures"


@pytest.mark.parametrize(("steps", "rising"), [(22, 1), (360, 25), (1400, 100)])
def test_a_short_training_reaches_its_rate(steps: int, rising: int) -> None:
    """The rate rises over a fourteenth of the steps: over 100 of 1,400 in the recipe."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    rates = schedule(optimizer, steps, pref.warm_up(steps))
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        rates.step()
    assert max(seen) == 1 and seen.index(1) == rising - 1


def test_steps_are_those_of_the_whole_scorer_at_most() -> None:
    """225 choices x 4 passes / 40 a batch = 22; of 14,400 choices 1,440, where the recipe has 1,400."""
    assert [train_proxies.steps_for(size) for size in train_proxies.SIZES] == [22, 90, 360, 1400]
