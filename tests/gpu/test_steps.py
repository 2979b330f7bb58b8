"""Every step of the acceptance run, in this process, on a CPU with tiny networks: its logic, not its numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gpu import child, runs
from tests.gpu.here import Here
from tests.gpu.outcome import read
from tests.gpu.plan import STEPS

Run = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu")


@pytest.fixture
def run(work: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The parts of a step by name, none of which was left open or ended with an error or a failed check."""
    for name, value in child.environment(work).items():
        monkeypatch.setenv(name, value)

    def parts(name: str) -> dict[str, Any]:
        findings = work / f"{name}.jsonl"
        findings.unlink(missing_ok=True)
        next(step for step in STEPS if step.name == name).module.run(Here("cpu", "tiny", work, findings))
        found, left_open = read(findings)
        assert not left_open and found
        assert not {name: part for name, part in found.items() if "error" in part or "failed" in part}
        return found

    return parts


def test_machine(run: Run) -> None:
    found = run("machine")
    assert found["matmul"]["fp32_tflops"] > 0 and found["device"]["threads"] >= 1
    assert "test_waiting.py" in found["pytest -m gpu"]["files"]


def test_waiting(run: Run) -> None:
    """T = 20 steps and the judge: 20 + 1 calls of DDPO; TailorPO asks 4 of 5 judged steps ahead, 20 + 5 + 4 - 4."""
    found = run("waiting")
    assert list(found) == list(runs.ONLINE)
    assert found["ddpo"]["calls"] == 21 and found["tailorpo"]["calls"] == 25
    assert all(part["places"] == [] for part in found.values())


def test_methods(run: Run) -> None:
    found = run("methods")
    assert set(found) == {*runs.ONLINE, *runs.OFFLINE, "diffusion-dpo, every weight"}
    assert all(part["unet_percent"] > 0 and part["vae_percent"] > 0 for part in found.values())
    assert all(found[method]["reward_percent"] > 0 for method in runs.ONLINE)


def test_precision(run: Run) -> None:
    """fp32 is compared with itself; in half precision the numbers are others, and close."""
    found = run("precision")
    assert found["tailorpo, fp32"]["cosine"] == pytest.approx(1, abs=1e-5)
    assert 0.9 < found["tailorpo, bf16"]["cosine"] < 1 - 1e-6
    assert found["diffusion-dpo, fp32"]["logit_error"] == 0 < found["diffusion-dpo, fp16"]["logit_error"]
    assert found["ddpo, fp32"]["of_the_clip"] < 0.1


def test_forward(run: Run) -> None:
    found = run("forward")
    assert next(name for name in found if "compiled" in name) == "compiled at 8 rows"
    assert found["eager"]["4 rows"]["base_ms"] > 0


@pytest.mark.slow
def test_memory(run: Run) -> None:
    found = run("memory")
    assert len(found) == 8 and found["evaluation, 40 GB"]["images"] == 4


@pytest.mark.slow
def test_resume(run: Run) -> None:
    found = run("resume")
    assert 2 <= found["killed and resumed"]["samples_at_the_kill"] < 8
    assert found["how equal"]["equal"] == found["how equal"]["tensors"]  # a CPU fact


def test_sdxl(run: Run) -> None:
    assert set(run("sdxl")) == {"an evaluation batch", "tailorpo"}


def test_generate(run: Run) -> None:
    found = run("generate")
    assert found["the adapter in plain diffusers"]["the adapter's own"] > 0.05
    assert found["scores"]["scores"] == 4 and len(found["share of the peak"]["largest_other_costs"]) == 3


@pytest.mark.slow
def test_iteration(run: Run) -> None:
    assert run("iteration")["tailorpo"]["straightforward_over_ours"] > 0
