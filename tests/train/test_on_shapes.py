"""Every method trains briefly on the shapes world, with finite metrics and a gradient."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchbench.config import load
from benchbench.store.metrics import read_metrics
from benchbench.train.loop import train

SHORT = ["train.eval_every=0", "train.batch=4"]
WATCHED = {"loss", "implicit_accuracy", "margin", "clamped", "grad_norm"}
OFFLINE = {"loss", "implicit_accuracy", "margin", "grad_norm", "mse_w", "mse_l"}
MADE = ["pairs=made:shapes-simple:shapes-pref:2"]  # taken out of the overrides below
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
    ("diffusion-nft", "shapes-colour", [], {"loss", "grad_norm", "reward", "advantage_abs", "off_policy", "kl"}),
    ("diffusion-dpo", "shapes-pref", MADE, OFFLINE | {"reference_mse_w", "reference_mse_l"}),
    ("diffusion-dpo", "shapes-pref", [*MADE, "method.eps=own", "method.nodup=true"], OFFLINE),
    (
        "diffusion-dpo",
        "shapes-pref",
        [*MADE, "method.loss=dmpo", "method.safeguard=0.9"],
        OFFLINE | {"loser_scale"},
    ),
    ("dspo", "shapes-pref", MADE, OFFLINE | {"moved"}),
    ("dspo", "shapes-pref", [*MADE, "method.form=sdxl", "method.beta=5000"], OFFLINE | {"moved"}),
    ("dspo", "shapes-pref", [*MADE, "method.form=ref", "method.beta=5000", "train.finetune=full"], OFFLINE),
    ("dspo", "shapes-pref", [*MADE, "method.form=e"], OFFLINE),
    ("sft", "shapes-pref", MADE, {"loss", "grad_norm", "mse_w"}),
    ("diffusion-kto", "shapes-pref", MADE, {"loss", "grad_norm", "implicit_accuracy", "margin", "z0", "mse"}),
    ("mapo", "shapes-pref", MADE, OFFLINE),
]
ONE_PROCESS = pytest.mark.xdist_group("pairs made by the shapes model")  # so that the pairs are made once


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the store in which all runs find the pairs that the first one made."""
    return tmp_path_factory.mktemp("store")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "reward", "words", "watched"),
    [pytest.param(*run, marks=ONE_PROCESS if MADE[0] in run[2] else ()) for run in RUNS],
)
def test_a_method_trains(
    method: str, reward: str, words: list[str], watched: set[str], tmp_path: Path, store: Path
) -> None:
    """Rows are finite and have the metrics to watch; the loop itself checks that a new adapter changes nothing."""
    pairs = next((word.removeprefix("pairs=") for word in words if word.startswith("pairs=")), None)
    overrides = [*SHORT, *(word for word in words if not word.startswith("pairs="))]
    config = load(method, "shapes", reward, "shapes-simple", 8, 0, overrides=overrides, pairs=pairs)
    run = train(config, tmp_path / "run", device="cpu", log=lambda line: None, store=store)
    rows = [row for row in read_metrics(run) if "loss" in row]
    assert json.loads((run / "done.json").read_text())["samples"] == 8 and rows
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert watched <= rows[0].keys()
    assert rows[0]["grad_norm"] > 0
