"""The sweeps in results/sweeps train at the rates that the searches in results/tuning found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchbench import config as configs
from benchbench import presets
from benchbench.reproduce.budget import equal_budget
from benchbench.reproduce.sweep_file import SweepFile
from benchbench.runtime.yaml_files import read_yaml
from results.tune_methods import by_rate

ROOT = Path(__file__).parents[2]
SWEEPS = sorted((ROOT / "results" / "sweeps").glob("*.yaml"))
SEARCHES = sorted((ROOT / "results" / "tuning").glob("*.yaml"))
PAGE = (ROOT / "results" / "tuning" / "README.md").read_text(encoding="utf-8")


def load(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_yaml(file.read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
def test_every_method_has_the_rate_of_its_search(file: Path) -> None:
    sweep = SweepFile.model_validate(load(file))
    for method in sweep.methods:
        reward = sweep.reward_of.get(method, sweep.train_reward)
        found = load(ROOT / "results" / "tuning" / f"{method}-{sweep.model}-{reward}.yaml")
        rates = by_rate(found["record"])
        assert sweep.of_method[method][presets.RATE] == max(rates, key=lambda rate: rates[rate]), method
        assert sweep.budget == found["record"]["settings"]["budget"]["baseline_images"]
        assert found["record"]["settings"]["pairs"] in (None, sweep.pairs)
        own = configs.load(
            method, sweep.model, reward, "shapes-simple", 1, 0, pairs=found["record"]["settings"]["pairs"]
        )
        samples = equal_budget(own, sweep.budget or 0, count_pairs=True).samples
        assert found["record"]["settings"]["budget"]["samples"] == samples
        assert not set(sweep.seeds) & set(found["record"]["settings"]["seeds"])
        assert sweep.stop == found["record"]["settings"]["validation"]


@pytest.mark.parametrize("file", SEARCHES, ids=lambda file: file.stem)
def test_the_page_has_what_a_search_found(file: Path) -> None:
    content = load(file)
    rates = by_rate(content["record"])
    best = max(rates, key=lambda rate: rates[rate])
    shown = ", ".join(f"{value:.2f} at {rate:g}" for rate, value in rates.items())
    assert f"| {content['method']} | {content['model']} | {content['reward']} | {shown} | {best:g} |" in PAGE


def test_validation_and_test_prompts_share_none() -> None:
    """The files hold the first prompts of the sets that they are named after."""
    from benchbench import prompts

    validation = prompts.load(str(ROOT / "results" / "tuning" / "validation-50.txt")).prompts
    test = prompts.load(str(ROOT / "results" / "sweeps" / "test-200.txt")).prompts
    assert validation == prompts.load("shapes-complex.validation").prompts[:50]
    assert test == prompts.load("shapes-complex.test").prompts[:200]
    assert not set(validation) & set(test) and not set(test) & set(prompts.load("shapes-simple").prompts)
