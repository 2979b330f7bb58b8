"""A base model that predicts v trains online and offline and is evaluated, on the target that diffusers has."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from benchbench.config import load
from benchbench.diffusion import backbones
from benchbench.diffusion.denoising_error import noised
from benchbench.diffusion.policy import make_policy
from benchbench.noise import Noise
from benchbench.store.metrics import read_metrics
from benchbench.train.loop import train
from tests.cli.conftest import Bench, bench  # noqa: F401  # the fixture
from tests.tiny import write_tiny_sd
from tests.train.conftest import SMALL
from tests.train.test_offline import pairs  # noqa: F401  # the fixture


@pytest.fixture(scope="module")
def v_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sd(tmp_path_factory.mktemp("v") / "v-model", prediction_type="v_prediction")


@pytest.mark.parametrize("method", ["ddpo", "sft"])
def test_a_method_trains_a_v_model(
    method: str,
    v_model: Path,
    pairs: Path,  # noqa: F811
    tmp_path: Path,
    bench: Bench,  # noqa: F811
) -> None:
    given = str(pairs) if method == "sft" else None
    words = [*SMALL, "sampler.steps=5", *(["method.steps=[5,2]"] if method == "ddpo" else [])]
    config = load(method, str(v_model), "shapes-colour", "animals", 16, 0, "shapes", words, given)
    run = train(config, tmp_path / "run", device="cpu", log=lambda _: None)
    rows = [row for row in read_metrics(run) if "loss" in row]
    assert json.loads((run / "done.json").read_text())["samples"] == 16
    assert all(math.isfinite(value) for row in rows for value in row.values()) and rows[0]["grad_norm"] > 0
    if method == "ddpo":
        return
    (tmp_path / "two.txt").write_text("a cat\na dog\n")
    evaluation = ["eval", "--model", v_model, "--checkpoint", run, "--prompts", tmp_path / "two.txt", "--device", "cpu"]
    few = ["--images-per-prompt", 1, "--rewards", "jpeg_compressibility", "--store", tmp_path / "store"]
    ran = bench(*evaluation, *few)
    assert ran.code == 0, ran.err
    assert "made 4 images" in ran.out and "with 20 network evaluations" in ran.out, ran.out


def test_the_target_of_offline_methods_is_v(v_model: Path) -> None:
    """sqrt(abar) eps - sqrt(1 - abar) x0, as diffusers' get_velocity has it."""
    from diffusers import DDPMScheduler

    policy = make_policy(backbones.load(str(v_model), "cpu"), 5, 1.0, 5.0)
    x0 = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    noise, draw = Noise(0, "train"), torch.tensor([4, 9, 2])
    x, tau, target = noised(policy, x0, draw, noise)
    scheduler = DDPMScheduler.from_pretrained(v_model, subfolder="scheduler")
    a = scheduler.alphas_cumprod[tau].view(-1, 1, 1, 1)
    eps = (x - a.sqrt() * x0) / (1 - a).sqrt()
    torch.testing.assert_close(target, scheduler.get_velocity(x0, eps, tau), atol=1e-4, rtol=1e-4)
    assert scheduler.config.prediction_type == "v_prediction"
