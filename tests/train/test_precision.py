"""Training in half precision: the scaled loss, its gradients, and the rounding of a first step."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from benchbench.errors import RunError
from benchbench.store.metrics import read_metrics
from benchbench.train.first_step import InFloat32
from benchbench.train.loop import train
from benchbench.train.loss_scale import MOST_SKIPPED, LossScale
from benchbench.train.trainer import Trainer
from tests.train import precision, precision_table

METHODS = [
    *("tailorpo", "diffusion-dpo", "dspo", "sft", "diffusion-kto", "mapo"),
    *(pytest.param(method, marks=pytest.mark.long) for method in ("ddpo", "spo")),  # TailorPO's ratios
    *(pytest.param(method, marks=pytest.mark.long) for method in ("d3po", "tailorpo-g")),  # TailorPO's loss
]
BETAS = [
    pytest.param(*case, marks=pytest.mark.long) if case in precision_table.LIKE_OTHERS else case
    for case in precision_table.CASES
    if case[0] != "ddpo"
]


def quiet(_: str) -> None:
    pass


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_fp16_gradients_are_those_of_fp32(method: str) -> None:
    """Their cosine is at least .99 with loss elements as small as SD 1.5's and SDXL's, and less without a scale."""
    run, exact, half = precision.config(method), precision.policy("fp32"), precision.policy("fp16")
    algorithm, rows = precision.batch(run, half)
    cfg = run.method_config
    expected = precision.gradient(exact, algorithm, precision.as_seen_by(exact, rows), cfg, 1.0, LossScale(False))
    rows = precision.as_seen_by(half, rows)
    for dimensions in (16_384, 65_536):
        result = precision.gradient(half, algorithm, rows, cfg, precision.D / dimensions, LossScale(True))
        assert float(torch.cosine_similarity(result, expected, dim=0)) >= 0.99
    if method in {"ddpo", "d3po", "tailorpo", "tailorpo-g"}:
        result = precision.gradient(half, algorithm, rows, cfg, precision.D / 65_536, LossScale(False))
        assert float(torch.cosine_similarity(result, expected, dim=0)) < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("method", ["tailorpo", "diffusion-dpo"])
def test_fp16_gradients_of_every_weight(method: str) -> None:
    """The gradients agree, too, where the whole UNet is trained under autocast with float32 weights."""
    run, exact, half = precision.config(method), precision.policy("fp32", True), precision.policy("fp16", True)
    algorithm, rows = precision.batch(run, half)
    cfg, factor = run.method_config, precision.D / 16_384
    expected = precision.gradient(exact, algorithm, precision.as_seen_by(exact, rows), cfg, 1.0, LossScale(False))
    result = precision.gradient(half, algorithm, precision.as_seen_by(half, rows), cfg, factor, LossScale(True))
    assert float(torch.cosine_similarity(result, expected, dim=0)) >= 0.99


def test_the_loss_scale_moves_as_pytorch_s_does() -> None:
    """The scale equals GradScaler's after the same finite and infinite gradients."""
    weight = torch.nn.Parameter(torch.zeros(1))
    reference = torch.amp.GradScaler("cpu", growth_interval=2000)
    scale, optimizer = LossScale(True), torch.optim.SGD([weight], lr=1.0)
    for step in range(4010):
        bad = step in (0, 3, 2010)
        weight.grad = torch.full((1,), math.inf if bad else scale.scale)
        reference.scale(torch.zeros(()))  # creates its state
        reference.unscale_(optimizer)
        if not bad:
            assert float(weight.grad) == 1.0  # unscaled by the same number
        reference.step(optimizer)
        reference.update()
        scale.accept(not bad, "here")
        assert scale.scale == reference.get_scale(), step
    assert scale.scale == 2.0**14


def test_a_loss_scale_that_never_fits_ends_the_run() -> None:
    scale = LossScale(True)
    with pytest.raises(RunError, match="10 optimizer steps in a row were skipped") as error:
        for _ in range(MOST_SKIPPED):
            assert not scale.accept(False, "in the rollout after sample 8, seed 0")
    assert "after sample 8" in error.value.cause and "64" in error.value.cause  # 2^16 / 2^10
    assert "bf16" in error.value.remedy


def test_a_skipped_step_is_no_step(configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An overflow in the second of four updates skips the optimizer step, is not counted, and halves the scale."""
    plain = Trainer._step

    def step(self: Trainer, batch):
        sums = plain(self, batch)
        if self.state.samples == 8:
            for parameter in self.parts.parameters:
                parameter.grad.fill_(math.inf)
        return sums

    monkeypatch.setattr(Trainer, "_step", step)
    run = train(configure("tailorpo", "train.dtype=fp16", "train.eval_every=0"), tmp_path / "run", log=quiet)
    rows = read_metrics(run)
    assert [row["skipped_steps"] for row in rows] == [0, 1, 0, 0]
    assert [row["loss_scale"] for row in rows] == [2.0**16, 2.0**15, 2.0**15, 2.0**15]
    assert "grad_norm" not in rows[1] and all(math.isfinite(row["grad_norm"]) for row in rows if "grad_norm" in row)
    last = max((run / "checkpoints").iterdir())
    assert json.loads((last / "state.json").read_text())["updates"] == 3


def test_the_loss_scale_is_resumed(configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run in fp16 that is interrupted after an overflow ends in the bits of an uninterrupted one."""
    config = configure("tailorpo", "train.dtype=fp16", "train.eval_every=0", samples=24)
    plain, rollout = Trainer._step, Trainer._rollout

    def step(self: Trainer, batch):
        sums = plain(self, batch)
        if self.state.samples == 0:
            self.parts.parameters[0].grad.fill_(math.nan)
        return sums

    def interrupted(self: Trainer):
        if self.state.samples == 16:
            raise KeyboardInterrupt
        return rollout(self)

    monkeypatch.setattr(Trainer, "_step", step)
    uninterrupted = train(config, tmp_path / "whole", log=quiet)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_rollout", interrupted)
        train(config, tmp_path / "run", log=quiet)
    train(config, tmp_path / "run", resume=True, log=quiet)
    files = [tmp_path / name / "pytorch_lora_weights.safetensors" for name in ("run", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [row["loss_scale"] for row in read_metrics(tmp_path / "run")] == [2.0**15] * 3
    assert uninterrupted.name == "whole"


def test_operations_in_float32_are_those_of_a_float32_network(tiny_sd: Path) -> None:
    """A half-precision network within InFloat32 equals a float32 network with the same rounded weights."""
    from benchbench.diffusion import backbones

    half = backbones.load(str(tiny_sd), "cpu", "fp16").network
    exact = backbones.load(str(tiny_sd), "cpu", "fp32").network
    exact.load_state_dict({name: value.float() for name, value in half.state_dict().items()})
    x, text = torch.randn(2, 4, 8, 8).half(), torch.randn(2, 12, 16).half()
    with torch.no_grad():
        expected, rounded = exact(x.float(), 500, text.float()).sample, half(x, 500, text).sample
        with InFloat32():
            result = half(x, 500, text).sample
    assert result.dtype is torch.float32 and (rounded - expected).abs().max() > 1e-5
    torch.testing.assert_close(result, expected, atol=2e-6, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "words"), BETAS)
def test_fp16_is_fine_enough_for_a_large_beta(method: str, words: str) -> None:
    """After eight updates the logit's error is at most a tenth of its standard deviation; in bf16 it is far more.

    bf16 is tested for one method, since the others' losses are alike.
    """
    last = list(precision_table.after_updates(method, words, "fp16", 16))[-1]
    assert last.deviation > 0.5 and last.error <= 0.1 * last.deviation
    if method == "diffusion-dpo":
        last = list(precision_table.after_updates(method, words, "bf16", 16))[-1]
        assert last.error > 0.1 * last.deviation


@pytest.mark.parametrize(
    ("method", "words", "expected"),
    [
        ("diffusion-dpo", [], "fp16"),
        ("diffusion-kto", [], "fp16"),
        ("mapo", [], "fp16"),
        ("dspo", [], "half"),  # beta .001: no logit to speak of
        ("dspo", ["method.form=sdxl", "method.beta=5000"], "fp16"),
        ("sft", [], "half"),
        ("tailorpo", [], "half"),
        ("d3po", [], "half"),
        ("spo", [], "half"),
        ("ddpo", [], "fp32"),
        ("ddpo", ["method.clip=0.2"], "half"),
        ("ddpo", ["method.log_prob=sum", "method.clip=0.2"], "fp32"),
    ],
)
def test_the_precision_that_a_method_asks_for(method: str, words: list[str], expected: str) -> None:
    run = precision.config(method, *words)
    result = run.method_class.precision(run.method_config)
    assert result.name == expected and len(result.reason) > 20
