"""Fine-tuned weights under a name and a version of their own, described by a ``reward.yaml`` beside them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchbench import registry
from benchbench.cli.main import main
from benchbench.errors import BenchError, CorruptError
from benchbench.rewards import lookup
from benchbench.runtime.hashing import file_sha256
from benchbench.shapes import WEIGHTS
from benchbench.train.reward_memory import reward_memory
from tests.reward_models.conftest import natural

PROMPTS = ["a cat", "a dog on a hill"]


def scores(name: str) -> list[float]:
    values: list[float] = lookup.require(name)().score([natural(1, 48, 40), natural(2, 40, 40)], PROMPTS).tolist()
    return values


@pytest.fixture
def folder(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights, with one that has no reward.yaml yet."""
    copy = tmp_path / "weights"
    shutil.copytree(weights, copy)
    (copy / "mine").mkdir()
    monkeypatch.setenv("BENCH_WEIGHTS", str(copy))
    return copy


def describe(folder: Path, text: str) -> None:
    (folder / "mine" / "reward.yaml").write_text(text)


def test_finetuned_weights_are_a_reward_of_their_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = load_file(folder / "PickScore_v1" / "model.safetensors")
    state["logit_scale"] = state["logit_scale"] + torch.tensor(2.0).log()
    save_file(state, folder / "mine" / "tuned.safetensors")
    describe(folder, 'like: pickscore\nversion: "2026-11"\nweights: tuned.safetensors\nrange: [28, 52]\n')
    assert scores("mine") == pytest.approx([2 * score for score in scores("pickscore")], rel=1e-5)
    cls, sha256 = lookup.get("mine"), file_sha256(folder / "mine" / "tuned.safetensors")
    assert (cls.name, cls.version, cls.range) == ("mine", f"2026-11+{sha256[:12]}", (28, 52))
    assert lookup.get("mine") is cls and reward_memory(cls) == reward_memory(lookup.get("pickscore"))
    assert cls.identity() != lookup.get("pickscore").identity()
    assert main(["show", "reward", "mine"]) == 0
    assert main(["list", "rewards"]) == 0
    out = capsys.readouterr().out
    assert "pickscore with weights of your own" in out and "Weights of your own, from" in out

    state["logit_scale"] = state["logit_scale"] * 1.001
    save_file(state, folder / "mine" / "tuned.safetensors")
    assert lookup.get("mine").version != cls.version


def test_other_weights_are_not_read_under_the_hash_of_the_first(folder: Path) -> None:
    shutil.copy(folder / "PickScore_v1" / "model.safetensors", folder / "mine" / "model.safetensors")
    describe(folder, 'like: pickscore\nversion: "1"\nweights: model.safetensors\n')
    cls = lookup.get("mine")
    state = load_file(folder / "mine" / "model.safetensors")
    save_file({name: value * 1.5 for name, value in state.items()}, folder / "mine" / "model.safetensors")
    with pytest.raises(CorruptError, match="changed"):
        cls()


def test_a_head_of_the_aesthetic_predictor_keeps_the_released_tower(folder: Path) -> None:
    head = torch.load(folder / "sac+logos+ava1-l14-linearMSE.pth", weights_only=True)
    head["layers.7.bias"] = head["layers.7.bias"] + 1
    torch.save({f"module.{name}": value for name, value in head.items()}, folder / "mine" / "head.pth")
    describe(folder, 'like: aesthetic\nversion: "1"\nweights: head.pth\n')
    assert scores("mine") == pytest.approx([score + 1 for score in scores("aesthetic")], rel=1e-5)


@pytest.mark.parametrize("like", ["hpsv2.1", "imagereward"])
def test_a_training_checkpoint_of_several_gpus_is_read(folder: Path, like: str) -> None:
    (file,) = lookup.get(like).assets[0].paths()
    state = load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)
    state = state.get("state_dict", state)
    torch.save({"state_dict": {f"module.{n}": v for n, v in state.items()}, "epoch": 3}, folder / "mine" / "epoch.pt")
    describe(folder, f'like: {like}\nversion: "1"\nweights: epoch.pt\n')
    assert scores("mine") == scores(like)


def test_a_scorer_of_the_shapes_world_with_other_weights(folder: Path) -> None:
    """The CLIP is the user's file, the tokenizer the shipped one; a file with a tensor too few is refused."""
    state = load_file(WEIGHTS / "pref" / "model.safetensors")
    state["logit_scale"] = state["logit_scale"] + torch.tensor(2.0).log()
    save_file(state, folder / "mine" / "model.safetensors")
    describe(folder, 'like: shapes-pref\nversion: "1"\nweights: model.safetensors\n')
    assert scores("mine") == pytest.approx([2 * score for score in scores("shapes-pref")], rel=1e-5)
    assert lookup.get("mine").identity() != lookup.get("shapes-pref").identity()
    assert lookup.get("mine").differentiable and len(lookup.get("shapes-pref").weight_files()) > 1

    state.pop("logit_scale")
    save_file(state, folder / "mine" / "model.safetensors")
    with pytest.raises(CorruptError, match="logit_scale"):
        scores("mine")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("like: pickscore\nversion: 1.10\nweights: m.safetensors\n", "put it in quotes"),
        ('like: pickscore\nversion: "1"\n', "weights: Field required"),
        ('like: pickscore\nversion: "1"\nweights: m.safetensors\nscale: 26\n', "scale"),
        ('like: pickscore\nversion: "1"\nweights: m.safetensors\nrange: [2, 1]\n', "not below"),
        ('like: pickscore\nversion: "a b"\nweights: m.safetensors\n', "version"),
        ('like: pickscore\nversion: "1"\nweights: ../PickScore_v1/model.safetensors\n', "no name of a file"),
        ('like: pickscore\nversion: "1"\nweights: absent.safetensors\n', "does not exist"),
        ('like: pikscore\nversion: "1"\nweights: m.safetensors\n', "did you mean pickscore"),
        ('like: shapes-oracle\nversion: "1"\nweights: m.safetensors\n', "did you mean shapes-pref"),
        ('like: jpeg_compressibility\nversion: "1"\nweights: m.safetensors\n', "known: aesthetic"),
        ('like: shapes-spm\nversion: "1"\nweights: m.safetensors\n', "shapes-pref"),
        ('like: mine\nversion: "1"\nweights: m.safetensors\n', "there is no reward that takes weights"),
        ("- pickscore\n", "no list of settings"),
        ("like: [\n", "describes no reward"),
    ],
)
def test_a_file_that_describes_no_reward_is_refused_in_words(folder: Path, text: str, problem: str) -> None:
    shutil.copy(folder / "PickScore_v1" / "model.safetensors", folder / "mine" / "m.safetensors")
    describe(folder, text)
    with pytest.raises(BenchError) as caught:
        lookup.require("mine")
    error = caught.value
    assert problem in f"{error.problem} {error.cause}" and error.remedy
    assert "mine" in registry.names("rewards") and "mine" in lookup.present()[1]


def test_a_release_keeps_its_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "pickscore").mkdir()
    (folder / "pickscore" / "reward.yaml").write_text('like: pickscore\nversion: "1"\nweights: m.safetensors\n')
    assert lookup.get("pickscore").version == "v1"
    assert [name for kind, name, _ in registry.shadowed() if kind == "rewards"] == ["pickscore"]


def test_pickscore_over_26_is_named(folder: Path) -> None:
    assert scores("pickscore-26") == pytest.approx([score / 26 for score in scores("pickscore")], rel=1e-6)
