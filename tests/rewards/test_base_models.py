"""Weights that belong to one base model judge no other's images."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchbench import choice
from benchbench.cli.main import main
from benchbench.config import load
from benchbench.errors import MissingError, UsageError
from benchbench.evaluate import make_pairs
from benchbench.hub.families import family
from benchbench.reproduce import spec
from benchbench.reproduce.plan import make_plan
from benchbench.rewards import lookup
from benchbench.train import inputs
from benchbench.types import PromptSet

PLAIN, XL = "StableDiffusionPipeline", "StableDiffusionXLPipeline"
WIDTHS = (768, 1024, 16)


def write_folder(folder: Path, pipeline: str, width: int) -> Path:
    """A folder of a pipeline that says its class and the width of its text conditioning."""
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    (folder / "unet" / "config.json").write_text(json.dumps({"cross_attention_dim": width}))
    return folder


def test_the_family_of_a_model_by_name_and_by_its_files(tmp_path: Path) -> None:
    names = {
        "sd15": "sd15",
        "sd14": "sd15",
        "sd21": "sd21",
        "sdxl": "sdxl",
        "shapes": "shapes",
        "stabilityai/stable-diffusion-xl-base-1.0": "sdxl",
        "sdxl+vae=madebyollin/sdxl-vae-fp16-fix": "sdxl",
        "CompVis/stable-diffusion-v1-4": "sd15",
        "nobody/nothing": "",
    }
    assert {name: family(name) for name in names} == names
    folders = [write_folder(tmp_path / "xl", XL, 2048), *(write_folder(tmp_path / str(n), PLAIN, n) for n in WIDTHS)]
    assert [family(str(folder)) for folder in folders] == ["sdxl", "sd15", "sd21", ""]


def test_spo_s_judge_is_the_one_of_its_base_model(tmp_path: Path) -> None:
    judges = {"sd15": "spm", "sd14": "spm", "sdxl": "spm-sdxl", "shapes": "shapes-spm"}
    judges["stabilityai/stable-diffusion-xl-base-1.0"] = "spm-sdxl"
    judges[str(write_folder(tmp_path / "xl", XL, 2048))] = "spm-sdxl"
    assert {model: choice.choose_reward(None, model, "spo").names[0] for model in judges} == judges
    assert lookup.get("spm").assets[0].files != lookup.get("spm-sdxl").assets[0].files
    assert lookup.get("spm").assets[0].repos == lookup.get("spm-sdxl").assets[0].repos


@pytest.mark.parametrize(
    ("reward", "model"),
    [("spm", "sdxl"), ("spm", "sd21"), ("spm-sdxl", "sd15"), ("shapes-spm", "sd15"), ("spm=0.5,aesthetic=0.5", "sdxl")],
)
def test_another_base_model_s_judge_is_refused(reward: str, model: str) -> None:
    """Every command that knows its model refuses it, before weights are looked for, and by a training from Python."""
    run = load("spo", model, reward, "animals", 8, 0)
    everywhere = SimpleNamespace(names=[reward], notes=[])
    for refused in (
        lambda: inputs.look_up(run, lookup.get(reward)),
        lambda: choice.resolve("shapes" if model == "shapes" else model, "animals", lambda: everywhere, lambda _: None),
    ):
        with pytest.raises(UsageError) as error:
            refused()
        assert "were made for" in error.value.cause and "cannot judge" in error.value.problem
    assert not lookup.fits(reward, model)


def test_pairs_are_labelled_by_a_judge_of_their_model(tmp_path: Path) -> None:
    """Also from Python and for ``made:`` pairs, and before anything is looked for or written."""
    prompts = PromptSet("two", ("a red circle", "a blue square"), "made here", "none")
    for pairs in (
        lambda: make_pairs.make_pairs("sd15", prompts, "shapes-spm", tmp_path, 2),
        lambda: make_pairs.find_or_make("made:shapes-simple:shapes-spm:2", tmp_path, model="sd15"),
    ):
        with pytest.raises(UsageError, match="cannot judge"):
            pairs()
    assert not list(tmp_path.iterdir())


def test_a_fitting_judge_is_only_missing() -> None:
    """With the right base model the error is that the weights are not here."""
    for reward, model in (("spm", "sd14"), ("spm-sdxl", "sdxl")):
        assert lookup.unfit(lookup.get(reward), model) is None
        with pytest.raises(MissingError):
            inputs.look_up(load("spo", model, reward, "animals", 8, 0))


@pytest.mark.parametrize("table", ["spo:1", "spo:6"])
def test_the_tables_on_sdxl_are_judged_by_sdxl_s_model(table: str, tmp_path: Path) -> None:
    read = spec.load(table)
    for track, judge in (("sdxl", "spm-sdxl"), ("shapes", "shapes-spm")):
        plan = make_plan(read, track, spec.track_of(read, track), tmp_path)
        judged = {training.config.reward for training in plan.trainings if training.config.method == "spo"}
        assert judged == {judge} and not plan.skipped


def test_a_dry_run_refuses_another_base_model_s_judge(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--method", "spo", "--model", "sdxl", "--reward", "spm", "--dry-run"]) == 2
    assert "use --reward spm-sdxl" in capsys.readouterr().err
