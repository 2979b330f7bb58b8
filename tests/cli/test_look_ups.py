"""One ``bench train`` looks every name up once, from its words to its adapter."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchbench import config, prompts
from benchbench.config import RunConfig
from benchbench.hub import models
from benchbench.rewards import lookup
from tests.cli.conftest import Bench

LOOK_UPS = [
    (prompts, "load"),
    (models, "pipeline_folder"),
    (models, "content_hash"),
    (lookup, "require"),
    (config, "load"),
    (RunConfig, "__init__"),
    (RunConfig, "model_validate"),
]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counter[str]]:
    """Counts the calls of each of LOOK_UPS by its first argument."""
    counts: dict[str, Counter[str]] = {}

    def watch(owner: Any, name: str) -> None:
        plain, seen = getattr(owner, name), Counter[str]()
        counts[f"{owner.__name__}.{name}"] = seen

        def call(*args: Any, **named: Any) -> Any:
            seen["a run" if owner is RunConfig else str(args[0])] += 1
            return plain(*args, **named)

        monkeypatch.setattr(owner, name, call)

    for owner, name in LOOK_UPS:
        watch(owner, name)
    return counts


@pytest.mark.parametrize("method", ["ddpo", "diffusion-dpo"])
def test_every_name_is_looked_up_once(
    bench: Bench, counted: dict[str, Counter[str]], method: str, tiny_sd: Path, tmp_path: Path
) -> None:
    """A run that makes its pairs uses the prompts, reward and model that were looked up for the run."""
    words = tmp_path / "words.txt"
    words.write_text("cat\ndog\n")
    argv = ["train", "--method", method, "--model", tiny_sd, "--reward", "jpeg_compressibility", "--prompts", words]
    argv += ["--samples", 2, "--set", "sampler.steps=3", "train.batch=2", "train.eval_images=2", "--device", "cpu"]
    if method == "diffusion-dpo":
        argv += ["--pairs", f"made:{words}:jpeg_compressibility:2"]
    ran = bench(*argv)
    assert ran.code == 0, ran.err
    assert counted.pop("RunConfig.model_validate") == {}
    assert counted == {
        "benchbench.prompts.load": {str(words): 1},
        "benchbench.hub.models.pipeline_folder": {str(tiny_sd): 1},
        "benchbench.hub.models.content_hash": {str(tiny_sd): 1},
        "benchbench.rewards.lookup.require": {"jpeg_compressibility": 1},
        "benchbench.config.load": {method: 1},
        "RunConfig.__init__": {"a run": 1},
    }


def test_an_evaluation_looks_every_name_up_once(
    bench: Bench, counted: dict[str, Counter[str]], tiny_sd: Path, tmp_path: Path
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("cat\ndog\n")
    rewards = ["jpeg_compressibility", "jpeg_incompressibility"]
    argv = ["eval", "--model", tiny_sd, "--prompts", words, "--rewards", ",".join(rewards), "--device", "cpu"]
    ran = bench(*argv, "--images-per-prompt", 1, "--steps", 2)
    assert ran.code == 0, ran.err
    assert {name: seen for name, seen in counted.items() if seen} == {
        "benchbench.prompts.load": {str(words): 1},
        "benchbench.hub.models.pipeline_folder": {str(tiny_sd): 1},
        "benchbench.hub.models.content_hash": {str(tiny_sd): 1},
        "benchbench.rewards.lookup.require": dict.fromkeys(rewards, 1),
    }
