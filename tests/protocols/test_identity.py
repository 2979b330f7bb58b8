"""Every input that decides a measurement or made pairs is in their key: with another one they are made anew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchbench.api import PromptSet, Reward
from benchbench.errors import CorruptError
from benchbench.evaluate.make_pairs import made_from
from benchbench.hub import models
from benchbench.pairs.look_up import PairsToMake
from benchbench.protocols.base import ProtocolSettings, Request, Target, find_target
from benchbench.rewards.identity import key_of_reward
from benchbench.rewards.mix import mix_class
from benchbench.runtime.hashing import digest
from benchbench.samplers import SamplerConfig
from benchbench.store.measurements import MeasurementStore
from tests.evaluate.test_evaluate import write_run
from tests.tiny import write_tiny_sd


class One(Reward):
    name, version, unit, range, differentiable, weights = "one", "1", "", (0.0, 1.0), False, "none"

    def score(self, images, prompts):  # type: ignore[no-untyped-def]
        pytest.fail("nothing is scored")


class Newer(One):
    version = "2"


PROMPTS = PromptSet("two", ("a cat", "a dog"), "", "")
TARGET = Target(
    models.LocalModel("m", Path("m")), "m", None, SamplerConfig(), SamplerConfig(), "cpu", "fp32", PROMPTS, One
)
ADAPTER: Any = SimpleNamespace(hash="a")
CHANGES: dict[str, dict[str, Any]] = {
    "model": {"model_hash": "n"},
    "adapter": {"adapter": ADAPTER},
    "sampler": {"sampler": SamplerConfig(steps=3)},
    "precision": {"dtype": "bf16"},
    "prompts": {"prompts": replace(PROMPTS, prompts=("a cat\na dog",))},
    "reward version": {"reward": Newer},
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_input_decides_the_key(name: str) -> None:
    assert digest(replace(TARGET, **CHANGES[name]).key()) != digest(TARGET.key())
    assert digest(replace(TARGET, device="cuda").key()) == digest(TARGET.key())


def test_the_code_of_a_plug_in_and_members_are_in_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reward of this repository is named by its version alone, as it always was."""
    assert key_of_reward(mix_class("shapes-colour=1").reward_classes["shapes-colour"]) == ["shapes-colour", "formula"]
    (name, version, code) = key_of_reward(One)
    assert (name, version) == ("one", "1") and len(str(code)) == 64
    monkeypatch.setattr("benchbench.rewards.identity.code_sha256", lambda plugin: "other")
    assert key_of_reward(One) == ["one", "1", "other"]
    kind = mix_class("shapes-colour=1,jpeg_compressibility=1")
    assert [part[0] for part in key_of_reward(kind)[2:]] == ["jpeg_compressibility", "shapes-colour"]  # type: ignore[index]


def test_every_input_decides_the_request_of_made_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def named(content_hash: str) -> models.LocalModel:
        model = models.LocalModel("m", tmp_path)
        vars(model)["hash"] = content_hash  # of files that are not here
        return model

    model = named("m")
    request = PairsToMake(PROMPTS, One, 4)
    changed = [replace(request, prompts=PromptSet("two", ("a cat",), "", "")), replace(request, images_per_prompt=5)]
    changed.append(replace(request, reward=Newer))
    digests = {made_from(pairs, model) for pairs in (request, *changed)} | {made_from(request, named("n"))}
    weights = tmp_path / "weights"
    weights.write_text("other")
    monkeypatch.setattr(One, "weight_files", lambda: [weights])
    assert len(digests | {made_from(request, model)}) == 6


def test_rows_by_other_weights_are_measured_again(tmp_path: Path) -> None:
    import pandas as pd

    said: list[str] = []

    def collect(about: str, value: int) -> list[int]:
        kept = MeasurementStore(tmp_path, "gap", {"seed": 1}, about)
        make = lambda start, stop: pd.DataFrame({"unit": [value]})  # noqa: E731
        return list(kept.collect(1, 1, lambda: make, dict, "gap", "states", said.append).unit)

    assert collect("weights 1", 1) == collect("weights 1", 2) == [1] and said == []
    assert collect("weights 2", 3) == [3] and "made by weights 1" in said[0]


def test_a_run_on_another_vae_can_be_measured_with_it_and_only_with_it(tmp_path: Path) -> None:
    model, other = write_tiny_sd(tmp_path / "sd"), write_tiny_sd(tmp_path / "other", seed=1)
    named = f"{model}+vae={other}"
    write_run(tmp_path, named)

    def find(name: str) -> Target:
        settings = ProtocolSettings.model_validate({})
        return find_target(Request(name, "ddpo-1", PROMPTS, One, settings, tmp_path, "cpu", "fp32", print))

    target = find(named)
    assert target.model_hash == models.model_hash(named)
    assert target.model_hash == json.loads((tmp_path / "runs" / "ddpo-1" / "run.json").read_text())["model_hash"]
    with pytest.raises(CorruptError, match="is not one of"):
        find(str(model))
    weights = other / "vae" / "diffusion_pytorch_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    with pytest.raises(CorruptError, match="is not one of") as error:
        find(named)
    assert "have changed since" in error.value.remedy
