"""Every step of the acceptance run works on a CPU with tiny networks; its numbers are not tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gpu import child, runs
from tests.gpu.context import StepContext
from tests.gpu.outcome import read
from tests.gpu.plan import STEPS

Run = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu")


@pytest.fixture
def run(work: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a step by name and returns its parts, once all of them have ended without error or failed check."""
    for name, value in child.environment(work).items():
        monkeypatch.setenv(name, value)

    def parts(name: str) -> dict[str, Any]:
        findings = work / f"{name}.jsonl"
        findings.unlink(missing_ok=True)
        next(step for step in STEPS if step.name == name).module.run(StepContext("cpu", "tiny", work, findings))
        result, left_open = read(findings)
        assert not left_open and result
        assert not {name: part for name, part in result.items() if "error" in part or "failed" in part}
        return result

    return parts


def test_machine(run: Run) -> None:
    result = run("machine")
    assert result["matmul"]["fp32_tflops"] > 0 and result["device"]["threads"] >= 1
    assert "test_waiting.py" in result["pytest -m gpu"]["files"]


def test_waiting(run: Run) -> None:
    """DDPO makes 20 + 1 calls of policy and reward; TailorPO, which looks ahead at 4 of 5 steps, 20 + 5 + 4 - 4."""
    result = run("waiting")
    assert list(result) == list(runs.ONLINE)
    assert result["ddpo"]["calls"] == 21 and result["tailorpo"]["calls"] == 25
    assert all(part["places"] == [] for part in result.values())


def test_methods(run: Run) -> None:
    result = run("methods")
    assert set(result) == {*runs.ONLINE, *runs.OFFLINE, "diffusion-dpo, every weight"}
    assert all(part["unet_percent"] > 0 and part["vae_percent"] > 0 for part in result.values())
    assert all(result[method]["reward_percent"] > 0 for method in runs.ONLINE)


def test_precision(run: Run) -> None:
    """fp32 is compared with itself; in half precision the numbers are others, and close."""
    result = run("precision")
    assert result["tailorpo, fp32"]["cosine"] == pytest.approx(1, abs=1e-5)
    assert 0.9 < result["tailorpo, bf16"]["cosine"] < 1 - 1e-6
    assert result["diffusion-dpo, fp32"]["logit_error"] == 0 < result["diffusion-dpo, fp16"]["logit_error"]
    assert result["ddpo, fp32"]["of_the_clip"] < 0.1


def test_forward(run: Run) -> None:
    result = run("forward")
    assert next(name for name in result if "compiled" in name) == "compiled at 8 rows"
    assert result["eager"]["4 rows"]["base_ms"] > 0


@pytest.mark.slow
def test_memory(run: Run) -> None:
    result = run("memory")
    assert len(result) == 9 and "plans" in result and result["evaluation, 40 GB"]["images"] == 4


@pytest.mark.long
def test_resume(run: Run) -> None:
    result = run("resume")
    assert 2 <= result["killed and resumed"]["samples_at_the_kill"] < 8
    assert result["how equal"]["equal"] == result["how equal"]["tensors"]  # a CPU fact


def test_sdxl(run: Run) -> None:
    assert set(run("sdxl")) == {"an evaluation batch", "tailorpo"}


def test_generate(run: Run) -> None:
    result = run("generate")
    assert result["the adapter in plain diffusers"]["the adapter's own"] > 0.05
    assert result["scores"]["scores"] == 4 and len(result["share of the peak"]["largest_other_costs"]) == 3


@pytest.mark.slow
def test_iteration(run: Run) -> None:
    assert run("iteration")["tailorpo"]["straightforward_over_ours"] > 0


@pytest.mark.parametrize("model", ["sd15", "sdxl"])
def test_spo_is_set_up_with_the_models_own_scorer(run: Run, work: Path, model: str) -> None:
    context = StepContext("cpu", "tiny", work, work / f"{model}-spo.jsonl")
    trainer = runs.trainer(context, "spo", *runs.small_settings("spo", 2), model=model)
    assert trainer.config.reward == {"sd15": "spm", "sdxl": "spm-sdxl"}[model]
    runs.close(trainer)
