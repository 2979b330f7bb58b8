"""A run logs the rounding of its first step, warns where it is large, and saves checkpoints as configured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchbench.store.metrics import read_metrics
from benchbench.train.first_step import measure_rounding
from benchbench.train.loop import train
from tests.train import precision
from tests.train.precision import NOISE


def measure_first_batch(method: str, dtype: str, *settings: str, count: int = 4) -> tuple[dict[str, float], list[str]]:
    """Returns metrics and warnings of the first batch on the shapes model."""
    run, policy = precision.config(method, *settings), precision.policy(dtype)
    policy.rows_at_once = precision.ROWS
    algorithm, rows = precision.batch(run, policy, count)
    rows, messages = precision.as_seen_by(policy, rows), list[str]()
    before = policy.cost.unet_evals, policy.cost.plain_evals
    metrics = measure_rounding(policy, rows, algorithm, run.method_config, NOISE, messages.append)
    assert (policy.cost.unet_evals, policy.cost.plain_evals) == before  # not counted as the run's cost
    return metrics, messages


def test_in_float32_ratios_are_one_and_nothing_else_is_asked() -> None:
    metrics, messages = measure_first_batch("ddpo", "fp32")
    assert metrics == {"start.log_ratio": 0.0} and messages == []
    assert measure_first_batch("diffusion-dpo", "fp32") == ({}, [])


def test_bf16_is_too_coarse_for_ddpo_s_clip() -> None:
    """A log-prob of the shapes model is off by .0003 to .01 in bf16, and the clip is .0001."""
    metrics, messages = measure_first_batch("ddpo", "bf16")
    assert metrics["start.log_ratio"] == 0.0 and 3e-4 < metrics["start.log_prob_error"] < 1e-2
    (line,) = messages
    assert line.startswith("warning: in bf16") and "the clip is 0.0001" in line and "train.dtype=fp32" in line


def test_a_clip_that_rounding_does_not_reach_is_not_warned_of() -> None:
    metrics, messages = measure_first_batch("tailorpo", "bf16")
    assert metrics["start.log_ratio"] == 0.0 and 0 < metrics["start.log_prob_error"] < 0.05 and messages == []


def test_a_summed_log_prob_has_so_many_times_the_error() -> None:
    mean, _ = measure_first_batch("d3po", "bf16")
    summed, messages = measure_first_batch("d3po", "bf16", "method.log_prob=sum")
    assert summed["start.log_prob_error"] == pytest.approx(precision.D * mean["start.log_prob_error"], rel=1e-4)
    assert "the clip is 0.1" in messages[0]


def test_a_large_beta_is_warned_of_in_bf16_and_not_in_fp16() -> None:
    """Diffusion-DPO at beta 5000: bf16 moves a pair's logit by about as much as a preference does, fp16 by a tenth."""
    coarse, messages = measure_first_batch("diffusion-dpo", "bf16", "method.beta=5000", count=16)
    assert 0.5 < coarse["start.logit_error"] < 5
    assert [line.startswith("warning: in bf16") for line in messages] == [True] * (coarse["start.logit_error"] >= 1)
    fine, no_messages = measure_first_batch("diffusion-dpo", "fp16", "method.beta=5000", count=16)
    assert fine["start.logit_error"] < coarse["start.logit_error"] / 4 and no_messages == []


def test_a_run_logs_it_in_its_first_row(configure, tmp_path: Path) -> None:
    run = train(configure("tailorpo", "train.dtype=bf16", "train.eval_every=0", samples=16), tmp_path / "run", log=str)
    first, second = read_metrics(run)
    assert first["start.log_ratio"] == 0.0 and first["start.log_prob_error"] > 0
    assert not [name for name in second if name.startswith("start.")]


def test_checkpoints_by_the_clock_and_at_the_end(configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of under ten minutes saves only at its end by default, and with save_minutes near 0 after every rollout."""
    from benchbench.train import checkpoint

    written: list[int] = []
    plain = checkpoint.write

    def write(run: Path, state: Any, *rest: Any) -> Path:
        written.append(state.samples)
        return plain(run, state, *rest)

    monkeypatch.setattr(checkpoint, "write", write)
    settings = ["train.eval_every=0", "train.save_every=0"]
    train(configure("tailorpo", *settings), tmp_path / "slow", log=str)
    assert written == [32]
    written.clear()
    train(configure("tailorpo", *settings, "train.save_minutes=1e-6"), tmp_path / "fast", log=str)
    assert written == [8, 16, 24, 32]


def test_evaluations_by_optimizer_steps(configure, tmp_path: Path) -> None:
    """DDPO takes two optimizer steps a rollout of eight images, so every third step is passed at 16 and 24 images."""
    run = train(configure("ddpo", "train.eval_steps=3"), tmp_path / "run", log=str)
    assert [row["samples"] for row in read_metrics(run) if "eval.reward" in row] == [0, 16, 24, 32]
    state = json.loads((max((run / "checkpoints").iterdir()) / "state.json").read_text())
    assert state["updates"] == 8


def test_a_checkpoint_in_several_files_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file exceeds its limit, which also limits the host's memory, and all tensors are restored."""
    from benchbench.train import checkpoint

    monkeypatch.setattr(checkpoint, "FILE_BYTES", 1000)
    parameters = [torch.nn.Parameter(torch.randn(n)) for n in (100, 200, 300, 50)]
    optimizer = torch.optim.AdamW(parameters)
    sum(p.square().sum() for p in parameters).backward()  # type: ignore[union-attr]
    optimizer.step()
    folder = checkpoint.write(tmp_path, checkpoint.State(run="key", samples=5), parameters, optimizer)
    sizes = {file.name: file.stat().st_size for file in folder.glob("*.safetensors")}
    assert len([name for name in sizes if name.startswith("adapter-")]) == 4 and max(sizes.values()) < 1000 + 1200
    restored = [torch.nn.Parameter(torch.zeros_like(p)) for p in parameters]
    restored_optimizer = torch.optim.AdamW(restored)
    state = checkpoint.read_latest(tmp_path, "key", restored, restored_optimizer, print)
    assert state and state.samples == 5
    assert all(torch.equal(a, b) for a, b in zip(restored, parameters, strict=True))
    for a, b in zip(restored, parameters, strict=True):
        for name, value in optimizer.state[b].items():
            assert torch.equal(restored_optimizer.state[a][name], value)


def test_a_fused_optimizer_takes_the_same_step() -> None:
    """The optimizer that CUDA uses and the one that a CPU uses agree within float32's rounding."""
    steps = []
    for fused in (False, True):
        draw = torch.Generator().manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(1000, generator=draw))
        optimizer = torch.optim.AdamW([weight], lr=1e-2, weight_decay=1e-4, fused=fused)
        for _ in range(5):
            weight.grad = torch.randn(1000, generator=draw)
            optimizer.step()
        steps.append(weight.detach())
    torch.testing.assert_close(steps[0], steps[1], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("method", ["tailorpo", "tailorpo-g"])
def test_gradient_checkpointing_changes_rounding_alone(method: str, configure, tmp_path: Path) -> None:
    """Checkpointing covers the UNet and, for guidance, the VAE; recomputed forwards are counted as cost."""
    from safetensors.torch import load_file

    runs = [
        train(
            configure(method, "train.eval_every=0", f"train.gradient_checkpointing={way}", samples=8),
            tmp_path / way,
            log=str,
        )
        for way in ("off", "on")
    ]
    adapters = [load_file(run / "pytorch_lora_weights.safetensors") for run in runs]
    for name, value in adapters[0].items():
        torch.testing.assert_close(adapters[1][name], value, atol=1e-5, rtol=1e-4)
    off, on = (json.loads((run / "done.json").read_text()) for run in runs)
    assert off["checkpointed_forwards"] == 0 and on["checkpointed_forwards"] == 2 * on["unet_grads"]
    assert (
        on["nfe"] > off["nfe"] and json.loads((runs[1] / "run.json").read_text())["resolved"]["gradient_checkpointing"]
    )
