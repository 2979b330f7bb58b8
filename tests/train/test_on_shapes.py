"""Every online method trains briefly on the shapes world: all finite, the invariants of step 0, something learned."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchbench.config import load
from benchbench.train.loop import train
from benchbench.train.metrics import read_metrics

SHORT = ["train.eval_every=0", "train.batch=4"]
WATCHED = {"loss", "implicit_accuracy", "margin", "clamped", "grad_norm"}
RUNS = [
    ("ddpo", "shapes-colour", [], {"loss", "clipped", "log_ratio_abs", "advantage_abs", "reward"}),
    ("d3po", "shapes-colour", ["method.minibatch=2"], WATCHED | {"reward", "ties"}),
    ("tailorpo", "shapes-colour", [], WATCHED | {"reward", "reward_gap"}),
    ("tailorpo", "shapes-colour", ["method.update=step", "method.carry=random"], WATCHED),
    ("tailorpo", "shapes-colour", ["method.same_input=false", "method.steps=3"], WATCHED),
    ("tailorpo", "shapes-spm", [], WATCHED),
    ("tailorpo-g", "shapes-colour", ["method.accept=better"], WATCHED | {"accepted", "guidance_per_sigma"}),
    ("spo", "shapes-spm", [], WATCHED | {"valid", "score_gap", "reward"}),
    ("spo", "shapes-spm", ["method.candidates=2", "method.inner_steps=4"], WATCHED),
    ("spo", "shapes-pref", ["method.step_aware=false"], WATCHED),
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "reward", "words", "watched"), RUNS)
def test_a_method_trains(method: str, reward: str, words: list[str], watched: set[str], tmp_path: Path) -> None:
    """The loop itself checks that a new adapter is neutral; here: finite rows and the metrics to watch."""
    config = load(method, "shapes", reward, "shapes-simple", 8, 0, overrides=[*SHORT, *words])
    run = train(config, tmp_path / "run", device="cpu", say=lambda line: None)
    rows = [row for row in read_metrics(run) if "loss" in row]
    assert json.loads((run / "done.json").read_text())["samples"] == 8 and rows
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert watched <= rows[0].keys()
    assert rows[0]["grad_norm"] > 0
