"""Presets that a plug-in ships, presets in files of `bench tune`, and what is said of rates and idle settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench import config, presets
from benchbench.cli.main import main
from benchbench.errors import UsageError
from benchbench.registry import get
from benchbench.reproduce.plan import Plan, PlannedTraining
from benchbench.reproduce.rates import rates_sentence
from benchbench.reproduce.spec import Block, Spec, Track
from benchbench.train.remarks import remarks
from benchbench.tune.search import make_search
from tests.registry.plugin import write_plugin

METHOD = '''
"""A copy of D3PO."""

from benchbench.methods.d3po import D3PO


class Mine(D3PO):
    """As D3PO."""

    name = "my-method"
'''
SHIPPED = """
shapes:
  samples: {value: 96, origin: "ours"}
  train.lr: {value: 2.0e-3, origin: "bench tune, 2 seeds"}
"""
TUNED = """
method: d3po
preset:
  samples: {value: 48, origin: "bench tune"}
  train.lr: {value: 4.0e-3, origin: "bench tune"}
record: {rule: "the most reward"}
"""


def settings(method: str, *overrides: str, preset: str | None = None) -> config.RunConfig:
    return config.load(method, "shapes", "shapes-colour", "shapes-simple", 16, 0, preset, overrides)


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The plug-in's package, which has no preset file yet; Python remembers a module, so that each has its name."""
    package = tmp_path.name
    entry = {"benchbench.methods": {"my-method": f"{package}.my_method:Mine"}}
    site = write_plugin(tmp_path / "site", package, {"my_method.py": METHOD}, entry)
    monkeypatch.syspath_prepend(site)
    return site / package


@pytest.fixture
def shipped(plug_in: Path) -> Path:
    file = plug_in / "presets" / "my_method.yaml"
    file.parent.mkdir()
    file.write_text(SHIPPED)
    return file


@pytest.mark.usefixtures("shipped")
def test_a_plug_in_trains_with_the_preset_beside_its_module(capsys: pytest.CaptureFixture[str]) -> None:
    found = settings("my-method")
    assert (found.preset, found.train.lr) == ("shapes", 2e-3)
    assert remarks(found, "shapes", []) == []
    assert main(["show", "preset", "my-method"]) == 0
    assert "shapes\ttrain.lr\t0.002\tbench tune, 2 seeds" in capsys.readouterr().out


def test_the_preset_of_a_plug_in_is_checked_as_ours_are(shipped: Path) -> None:
    shipped.write_text("shapes:\n  train.lrr: {value: 1, origin: ours}\n")
    with pytest.raises(UsageError) as error:
        settings("my-method")
    assert "train.lrr: no such setting" in error.value.cause and str(shipped) in error.value.problem


@pytest.mark.usefixtures("shipped")
def test_a_plug_in_is_tuned_with_equal_work() -> None:
    """D3PO on all 20 steps: 20 of the rollout, 20 of the reference and 20 gradients of 2.2; 11,904 / 84 is 141.7."""
    found = make_search("my-method", "shapes", "shapes-colour")
    assert found.preset == "shapes" and (found.budget.nfe_per_image, found.budget.samples) == (84, 140)


def row(name: str, tmp_path: Path, *overrides: str) -> PlannedTraining:
    return PlannedTraining(name, settings(name, *overrides), overrides, tmp_path)


@pytest.mark.usefixtures("plug_in")
def test_a_caption_says_whose_rate_nobody_has_searched(tmp_path: Path) -> None:
    track = Track(model="shapes", train_prompts="a", samples=1, blocks=[Block(prompts="a", images=1)], rewards={})
    spec = Spec(id="x", title="", source="", about="", published=None, paper_track="", rows={}, tracks={})
    trainings = row("my-method", tmp_path), row("d3po", tmp_path), row("ddpo", tmp_path, "train.lr=1e-3")
    said = rates_sentence(Plan(spec, "shapes", track, (), (), (), False, trainings))
    assert said == (
        "Learning rates (the default, which nobody has searched): my-method: 3e-05. "
        "Learning rates (preset shapes): d3po: 0.006. "
        "Learning rates (given with the command or in the file): ddpo: 0.001."
    )


@pytest.mark.usefixtures("plug_in")
def test_a_method_at_the_default_rate_is_told_what_others_have() -> None:
    run = settings("my-method")
    [line] = remarks(run, "shapes", [])
    assert "default learning rate 3e-05" in line and "d3po 0.006" in line and "bench tune my-method" in line
    assert remarks(settings("my-method", "train.lr=1e-3"), "shapes", ["train.lr=1e-3"]) == []


def test_a_file_of_bench_tune_is_a_preset_wherever_it_lies(tmp_path: Path) -> None:
    names = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / f"{folder}.yaml"
        file.write_text(TUNED)
        run = settings("d3po", preset=str(file))
        names.append(run.preset)
        assert run.train.lr == 4e-3 and presets.preset_values("d3po", str(file))["samples"]["value"] == 48
    assert names[0] == names[1] and names[0].startswith("tuned-")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TUNED.replace("d3po", "ddpo"), "is a preset of ddpo"),
        (TUNED.replace("train.lr:", "train.lrr:"), "train.lrr: no such setting"),
        (TUNED.replace("4.0e-3", "-1"), "should be greater than 0"),
        (TUNED.replace(', origin: "bench tune"', ""), "needs {value: ..., origin: ...}"),
        ("[]", "holds no preset of bench tune"),
        ("{", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_file_is_named(text: str | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "tuned.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError) as error:
        settings("d3po", preset=str(file))
    assert said in str(error.value) and "tuned.yaml" in str(error.value)


def test_beta_has_no_effect_where_the_clip_keeps_the_loss_a_line() -> None:
    """The logit is at most beta (log 1.1 - log 0.9) = 0.2007 beta; a tenth is reached at beta = 0.498."""
    d3po = get("methods", "d3po")
    for beta, idle in ((0.1, True), (0.49, True), (0.51, False)):
        assert ("beta" in d3po.without_effect(d3po.Config(beta=beta))) is idle
    assert d3po.without_effect(d3po.Config(clip=None)) == {}
    spo = get("methods", "spo")
    assert spo.without_effect(spo.Config()) == {}
    run = settings("d3po", "method.beta=0.2")
    [line] = remarks(run, "shapes", ["method.beta=0.2"])
    assert "method.beta has no effect here" in line
    assert remarks(settings("d3po"), "shapes", []) == []
