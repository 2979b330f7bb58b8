"""Weighted mixtures: their arithmetic, and training and evaluating with one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchbench import config
from benchbench.choice import split_rewards
from benchbench.cli.main import main
from benchbench.errors import RunError, UsageError
from benchbench.rewards import lookup
from benchbench.rewards import mix as ensemble
from benchbench.rewards.mix import Statistics
from tests.reward_models.conftest import natural

MIX = "jpeg_compressibility=-0.5,shapes-colour=2"


def test_one_spelling_for_each_mix() -> None:
    assert ensemble.canonical("shapes-colour=2.0, jpeg_compressibility=-.5") == MIX
    assert ensemble.canonical({"shapes-colour": 2, "jpeg_compressibility": -0.5}) == MIX
    assert ensemble.weights(MIX) == {"jpeg_compressibility": -0.5, "shapes-colour": 2.0}
    assert lookup.get("shapes-colour=2,jpeg_compressibility=-0.5").name == MIX


@pytest.mark.parametrize(
    ("mix", "said"),
    [
        ("a=1,a=2", "twice"),
        ("a=", "not a name"),
        ("a=1,b", "not a name"),
        ("=1", "not a name"),
        ("a=nan", "not a name"),
        ("a=0", "not a name"),
        ("lowst:a=1,b=1", "lowst is no rule; the rules are lowest and mean-sd"),
        ("a=1,lowest:b=1", "lowest stands once, before the first member"),
        ("lowest:", "not a name"),
        ("mean-sd:a,b", "not a name"),
    ],
)
def test_a_bad_mix_is_refused(mix: str, said: str) -> None:
    with pytest.raises(UsageError, match="not a mix") as caught:
        ensemble.canonical(mix)
    assert said in caught.value.cause


def test_a_member_that_does_not_exist_is_named() -> None:
    with pytest.raises(UsageError, match="pikscore"):
        lookup.get("pikscore=1,aesthetic=1")


def test_neighbours_with_weights_are_one_ensemble() -> None:
    assert split_rewards("a,b=1,c=2,d,e=3") == ["a", "b=1,c=2", "d", "e=3"]


def test_its_facts_are_its_members() -> None:
    kind = lookup.get(MIX)
    assert not kind.differentiable and kind.trainable
    assert lookup.get("aesthetic=1,pickscore=1").differentiable
    assert not lookup.get("shapes-oracle=1,shapes-colour=1").trainable
    assert "PickScore" in lookup.get("aesthetic=1,pickscore=1").missing()
    name, note = lookup.resolve("aesthetic=1,jpeg_compressibility=1", "shapes")
    assert name == "jpeg_compressibility=1,shapes-aesthetic=1" and note


def test_weighted_sum_of_normalised_scores_by_hand() -> None:
    """2 (5 - 3) / 4 - .5 (-1 - 1) / 2 = 1 + .5 = 1.5; and 2 (3 - 3) / 4 - .5 (1 - 1) / 2 = 0."""
    kind = lookup.get(MIX)
    statistics = {"shapes-colour": Statistics(3, 4, 9), "jpeg_compressibility": Statistics(1, 2, 9)}
    scores = {"shapes-colour": torch.tensor([5.0, 3.0]), "jpeg_compressibility": torch.tensor([-1.0, 1.0])}
    assert kind.combine(scores, statistics).tolist() == pytest.approx([1.5, 0.0])


THREE = "shapes-aesthetic=2,shapes-clip=1,shapes-colour=-1"
TERMS = {"shapes-aesthetic": [1.0, 0.0, -1.0], "shapes-clip": [1.0, 3.0, 2.0], "shapes-colour": [-3.0, 2.0, 0.0]}
"""Normalised scores; times the weights 2, 1 and -1: (2, 1, 3), (0, 3, -2) and (-2, 2, 0)."""


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_other_rules_by_hand(kind) -> None:
    """The lowest terms are 1, -2 and -2. Their means are 2, 1/3 and 0, and the variances 2/3, 38/9 and 8/3."""
    scores = {name: kind(values) for name, values in TERMS.items()}
    statistics = dict.fromkeys(TERMS, Statistics(0.0, 1.0, 9))
    lowest = lookup.get(f"lowest:{THREE}").combine(scores, statistics)
    assert lowest.tolist() == [1.0, -2.0, -2.0]
    careful = lookup.get(f"mean-sd:{THREE}").combine(scores, statistics)
    expected = [2 - (2 / 3) ** 0.5, 1 / 3 - (38 / 9) ** 0.5, -((8 / 3) ** 0.5)]
    assert careful.tolist() == pytest.approx(expected)


def test_a_rule_stays_with_its_members() -> None:
    assert ensemble.canonical("lowest:b=1.0, a=2") == "lowest:a=2,b=1"
    assert lookup.get("mean-sd:shapes-colour=1,shapes-clip=1").name == "mean-sd:shapes-clip=1,shapes-colour=1"
    assert lookup.resolve("lowest:aesthetic=1,clip=1", "shapes")[0] == "lowest:shapes-aesthetic=1,shapes-clip=1"
    assert split_rewards("a,b=1,c=2,lowest:d=1,e=1,f") == ["a", "b=1,c=2", "lowest:d=1,e=1", "f"]
    with pytest.raises(UsageError, match="not a mix") as caught:
        ensemble.canonical("lowest:a=1")
    assert "two members" in caught.value.cause


def test_the_gradient_is_that_of_the_lowest_and_finite_where_members_agree() -> None:
    x = torch.tensor([1.0, 5.0], requires_grad=True)
    y = torch.tensor([2.0, 4.0], requires_grad=True)
    kind, statistics = lookup.get("lowest:shapes-clip=1,shapes-colour=1"), Statistics(0.0, 1.0, 9)
    both = {"shapes-clip": statistics, "shapes-colour": statistics}
    kind.combine({"shapes-clip": x, "shapes-colour": y}, both).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1.0, 0.0]
    assert y.grad is not None and y.grad.tolist() == [0.0, 1.0]
    kind = lookup.get("mean-sd:shapes-clip=1,shapes-colour=1")
    (gradient,) = torch.autograd.grad(kind.combine({"shapes-clip": x, "shapes-colour": x}, both).sum(), x)
    assert gradient.tolist() == [1.0, 1.0]


def test_calibration_makes_mean_zero_and_then_stays() -> None:
    """Over the images that it was calibrated on the mean is 0; other images and batches do not move the scale."""
    reward = lookup.get(MIX)()
    images = [natural(i, 32, 32) for i in range(6)]
    with pytest.raises(RunError, match="calibrated"):
        reward.score(images, [""] * 6)
    reward.calibrate(images, [""] * 6)
    together = reward.score(images, [""] * 6)
    assert together.mean().item() == pytest.approx(0, abs=1e-5)
    alone = torch.cat([reward.score([image], [""]) for image in images])
    assert torch.allclose(together, alone, atol=1e-5)
    with pytest.raises(RunError, match="all 3 images"):
        reward.calibrate(images[:1] * 3, [""] * 3)


def test_its_gradient_is_the_weighted_sum_of_gradients() -> None:
    reward = lookup.get("shapes-colour=2")()
    reward.statistics = {"shapes-colour": Statistics(1.0, 4.0, 2)}
    x = torch.rand(2, 3, 32, 32).requires_grad_()
    (mixed,) = torch.autograd.grad(reward.score_differentiable(x, ["", ""]).sum(), x)
    (plain,) = torch.autograd.grad(lookup.get("shapes-colour")().score_differentiable(x, ["", ""]).sum(), x)
    assert torch.allclose(mixed, plain * 2 / 4)


def test_a_mapping_in_a_config_is_the_same_run() -> None:
    """YAML's mapping and the command line's string have one digest."""
    runs = [
        config.load("ddpo", "shapes", mix, "shapes-simple", 4, 0)
        for mix in ({"shapes-colour": 2, "jpeg_compressibility": -0.5}, "shapes-colour=2,jpeg_compressibility=-0.5")
    ]
    assert runs[0].reward == MIX
    assert runs[0].digest == runs[1].digest


@pytest.mark.parametrize("content", ["", "{", "[]", '{"statistics": 3}', '{"statistics": {"a": {"mean": 1}}}'])
def test_damaged_statistics_are_none(tmp_path: Path, content: str) -> None:
    kind = lookup.get(MIX)
    path, statistics = tmp_path / "ensemble.json", dict.fromkeys(kind.reward_classes, Statistics(1.0, 2.0, 3))
    assert ensemble.read_statistics(path, kind) is None
    ensemble.save_statistics(path, kind, statistics, "images")
    assert ensemble.read_statistics(path, kind) == statistics
    path.write_text(content)
    assert ensemble.read_statistics(path, kind) is None


def test_trained_on_and_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The statistics are printed and saved; in the table the base model's mean is 0, and members are scored once."""
    run, store = tmp_path / "run", tmp_path / "store"
    train = ["train", "--model", "shapes", "--method", "ddpo", "--reward", MIX, "--samples", "4", "--out", str(run)]
    train += ["--set", "train.eval_images=2", "train.batch=4", "--store", str(store)]
    assert main(train) == 0, capsys.readouterr().err
    assert "is normalised by mean" in capsys.readouterr().out
    saved = json.loads((run / "ensemble.json").read_text())
    assert saved["reward"] == MIX and saved["statistics"]["shapes-colour"]["images"] == 32
    # forwards of the calibration's 32 images and of two fixed evaluations of 2 images, each of 20 guided steps
    assert json.loads((run / "done.json").read_text())["eval_forwards"] == (32 + 2 * 2) * 20 * 2
    (tmp_path / "p.txt").write_text("a red circle\na blue square\na green triangle\n")
    evaluate = ["eval", "--model", "shapes", "--checkpoint", str(run), "--prompts", str(tmp_path / "p.txt")]
    evaluate += ["--rewards", f"{MIX},shapes-colour", "--images-per-prompt", "2", "--store", str(store)]
    assert main(evaluate) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert MIX in out and "images of base" in out
    [file] = (store / "scores").rglob("ensemble-*.json")
    statistics = json.loads(file.read_text())["statistics"]
    base = pd.read_parquet(next(file.parent.glob("shapes-colour*.parquet"))).score
    assert statistics["shapes-colour"]["mean"] == pytest.approx(base.mean())
    assert statistics["shapes-colour"]["deviation"] == pytest.approx(np.std(base))
    assert main(evaluate) == 0
    again = capsys.readouterr().out
    told = [[line for line in text.splitlines() if not line.startswith("made ")] for text in (out, again)]
    assert told[0] == told[1] and "made 0 images" in again


def test_a_mix_reads_refuses_and_warns_as_its_members_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mix reads prompts where a member does; JPEG refuses a side of 70,000 pixels; a member's prompts are cut."""
    assert not lookup.get(MIX).reads_prompt and lookup.get("shapes-colour=1,shapes-oracle=1").reads_prompt
    assert lookup.get("pickscore=1,aesthetic=1").notes[-1].startswith("pickscore: It reads the first 77 tokens")
    made = lookup.get(MIX)()
    assert (made.refuses(70_000, 2) or "").startswith("jpeg_compressibility: ") and made.refuses(700, 2) is None
    assert made.prompt_warnings(["a", "b"]) == []
    monkeypatch.setattr(lookup.get("shapes-colour"), "cut", lambda self, prompts: (1, 7))
    [line] = made.prompt_warnings(["a", "b"])
    assert "shapes-colour reads the first 7 tokens" in line and "1 of 2 different prompts" in line
