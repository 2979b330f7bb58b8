"""``bench check``: built-ins and the examples of CONTRIBUTING.md keep the contract, a broken package does not."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from benchbench import contract, registry
from benchbench.cli.main import main
from tests.registry.plugin import write_plugin

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", TEXT, re.DOTALL))
[ENTRIES] = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)

BROKEN = {
    "reward.py": '''
import torch
from benchbench.api import Reward

class Dim(Reward):
    """Depends on its neighbours, in double precision."""

    name, version, unit, range, differentiable, weights = "dim", "1", "x", (0.0, 1.0), True, "none"

    def score(self, images, prompts):
        return torch.arange(len(images), dtype=torch.float64)

    def score_differentiable(self, images, prompts):
        return images.mean() + images.flatten(1).mean(1)
''',
    "method.py": '''
import torch
from pydantic import Field
from benchbench.api import Method, MethodConfig, Transitions
from benchbench.api import NoiseSource, rollout

class Config(MethodConfig):
    scale: float = 1.0

class Noisy(Method):
    """Takes its noise from torch, and sums its loss."""

    name, paper, Config = "noisy", "none", Config

    def collect(self, policy, samples, reward, cfg, noise):
        prompts = [s.prompt for s in samples]
        cond, draws = policy.encode(prompts), NoiseSource(policy, noise, samples)
        visits = list(rollout(policy, cond, torch.randn_like(draws.start()), draws.z))
        r = reward(visits[-1].x, prompts, "step 0")
        visit, after = visits[0], visits[1]
        k = torch.full((len(samples),), visit.k)
        yield Transitions(visit.x, after.x, k, cond, visit.step.log_prob(after.x), r), {"reward": r.mean()}

    def loss(self, policy, batch, cfg, noise):
        return -policy.step(batch.x, batch.k, batch.cond).log_prob(batch.x_next).sum(), {}
''',
    "words.py": """
from benchbench.api import PromptSet

def words():
    return PromptSet("other", ("sun", "sun", " rain"), origin="", licence="CC0")
""",
}
GROUPS = {
    "benchbench.rewards": {"dim": "sick_bench.reward:Dim"},
    "benchbench.methods": {"noisy": "sick_bench.method:Noisy"},
    "benchbench.prompts": {"words": "sick_bench.words:words"},
}


@pytest.mark.parametrize(
    "name", ["shapes-colour", "shapes-pref", "shapes-spm", "shapes-oracle", "jpeg_compressibility"]
)
def test_built_in_rewards_keep_the_contract(name: str) -> None:
    kind, results = contract.run_checks(name)
    assert kind == "reward" and len(results) >= 5
    assert [result for result in results if result.outcome != "passed"] == []


@pytest.mark.parametrize("name", registry.names("methods"))
def test_built_in_methods_keep_the_contract(name: str) -> None:
    kind, results = contract.run_checks(name)
    assert kind == "method" and len(results) == (10 if registry.get("methods", name).data == "offline" else 9)
    assert [result for result in results if result.outcome != "passed"] == []


def test_the_examples_of_contributing_keep_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    groups = tomllib.loads(ENTRIES)["project"]["entry-points"]
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "site", "my_bench", FILES, groups))
    for name in ("brightness", "reinforce", "weather"):
        assert main(["check", name]) == 0
        out = capsys.readouterr().out
        assert "passed" in out and "failed" not in out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dim", ["scores are torch.float64", "score and score_differentiable differ", "2 of 5 checks"]),
        (
            "noisy",
            [
                "settings without a description",
                "take every random number from `noise`",
                "not a mean over rows",
                "3 of 9",
            ],
        ),
        ("words", ["its name is 'other'", "origin or licence is empty", "2 of 2"]),
    ],
)
def test_a_broken_package_is_told_what_is_wrong(
    name: str, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "site", "sick_bench", BROKEN, GROUPS))
    assert main(["check", name]) == 2
    ran = capsys.readouterr()
    for words in said:
        assert words in ran.err, ran.err
    lines = [line.split("\t")[1] for line in ran.out.splitlines()[1:]]
    assert {line.partition(":")[0] for line in lines} <= {"passed", "failed", "not run"}
    assert f"{sum(line.startswith('failed: ') for line in lines)} of {len(lines)}" in ran.err


def test_an_unknown_name_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "tailropo"]) == 2
    assert "tailorpo" in capsys.readouterr().err


def test_a_reward_that_reads_prompts_must_not_deny_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lying = (
        BROKEN["reward.py"]
        .replace('"dim", "1"', '"liar", "1"')
        .replace(
            "torch.arange(len(images), dtype=torch.float64)", "torch.tensor([float(len(prompt)) for prompt in prompts])"
        )
    )
    lying = lying.replace("    def score(", "    reads_prompt = False\n\n    def score(", 1)
    entry = {"benchbench.rewards": {"liar": "lying_bench.reward:Dim"}}
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "site", "lying_bench", {"reward.py": lying}, entry))
    assert main(["check", "liar"]) == 2
    assert "it declares that it reads no prompt" in capsys.readouterr().err
