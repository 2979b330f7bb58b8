"""``bench check`` names the cause of a failure: the line of code, what was not run, a wrong preset file."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench import presets
from benchbench.cli.main import main
from benchbench.contract import methods
from benchbench.contract.base import ContractError, NotRun
from benchbench.registry import get
from tests.registry.plugin import write_plugin

REWARD = """
import torch
from benchbench.api import Reward

class Stack(Reward):
    '''Cannot score no images.'''

    name, version, unit, range, differentiable = "stack", "1", "x", (0.0, 255.0), False
    weights = "none"

    def score(self, images, prompts):
        return torch.stack([torch.tensor(float(image.getpixel((0, 0))[0])) for image in images])
"""


def checked(package: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    entries = {"benchbench.rewards": {"stack": f"{package}.reward:Stack"}}
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "site", package, {"reward.py": text}, entries))
    return main(["check", "stack"])


def test_a_failure_without_images_says_so_and_names_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked("odd_bench", REWARD, tmp_path, monkeypatch) == 2
    ran = capsys.readouterr()
    [failed] = [line for line in ran.out.splitlines() if "\tfailed" in line]
    assert "score([], []) raises RuntimeError" in failed
    assert failed.endswith(f"({tmp_path.resolve()}/site/odd_bench/reward.py:12)")
    assert len(ran.err.splitlines()) == 3 and 'read "A reward" in CONTRIBUTING.md' in ran.err


def test_what_needs_a_missing_attribute_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked("bare_bench", REWARD.replace('    weights = "none"\n', ""), tmp_path, monkeypatch) == 2
    results = dict(line.split("\t") for line in capsys.readouterr().out.splitlines()[1:])
    assert results["class attributes"] == "failed: class attributes are missing: weights"
    assert results["no images give no scores"].startswith("not run: ")


def test_a_wrong_or_missing_preset_file_fails_for_a_method_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ddpo.yaml"
    monkeypatch.setattr(presets, "preset_file", lambda method: path)
    with pytest.raises(ContractError, match=r"no presets in methods/presets/ddpo\.yaml"):
        methods._check_presets("ddpo", get("methods", "ddpo"))
    path.write_text("shapes:\n  train.lrr: {value: 1.0, origin: ours}\n")
    assert main(["check", "ddpo"]) == 2
    assert "presets: the preset file methods/presets/ddpo.yaml is wrong: shapes: train.lrr" in capsys.readouterr().err


def test_a_plug_in_needs_no_presets() -> None:
    class Other(get("methods", "ddpo")):  # type: ignore[misc]
        """Outside of this repository."""

    with pytest.raises(NotRun):
        methods._check_presets("other", Other)


RANDOM = '''
import random

import numpy as np
import torch
from pydantic import Field
from benchbench.api import Method, MethodConfig, NoiseSource, Transitions, rollout

class Config(MethodConfig):
    source: str = Field("torch", description="[ours]")

class Dice(Method):
    """A loss that throws dice of its own."""

    name, paper, Config = "dice", "none", Config

    def collect(self, policy, samples, reward, cfg, noise):
        prompts = [s.prompt for s in samples]
        cond, source = policy.encode(prompts), NoiseSource(policy, noise, samples)
        visits = list(rollout(policy, cond, source.start(), source.z))
        visit, after, r = visits[0], visits[1], reward(visits[-1].x, prompts, "step 0")
        k = torch.full((len(samples),), visit.k)
        yield Transitions(visit.x, after.x, k, cond, visit.step.log_prob(after.x), r), {"reward": r.mean()}

    def loss(self, policy, batch, cfg, noise):
        dice = DICE
        return -dice * policy.step(batch.x, batch.k, batch.cond).log_prob(batch.x_next).mean(), {}
'''


@pytest.mark.parametrize(
    ("dice", "source"),
    [("int(torch.randint(1, 7, ()))", "torch"), ("np.random.randint(1, 7)", "numpy"), ("random.random()", "random")],
)
def test_a_loss_that_draws_its_own_numbers_is_told_so(
    dice: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files, package = {"method.py": RANDOM.replace("DICE", dice)}, f"dice_{source}"
    groups = {"benchbench.methods": {"dice": f"{package}.method:Dice"}}
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "site", package, files, groups))
    assert main(["check", "dice"]) == 2
    results = dict(line.split("\t") for line in capsys.readouterr().out.splitlines()[1:])
    assert f"random numbers from {source}" in results["the same noise gives the same loss"]
    assert "take every random number from `noise`" in results["the same noise gives the same loss"]
    assert results["the loss is a mean over rows, however they are split"].startswith("not run: ")
