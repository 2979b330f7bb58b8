"""DRaFT and AWM in the training loop: first rows, kills, processes, memory, samplers without noise, and refusals."""

from __future__ import annotations

import math
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchbench.config import RunConfig, load
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import Policy
from benchbench.errors import RunError, UsageError
from benchbench.methods.draft import DRaFT, DRaFTConfig
from benchbench.noise import Noise
from benchbench.store.metrics import read_metrics
from benchbench.train.cost_estimate import RolloutCost, rollout_cost, sizes
from benchbench.train.inputs import look_up
from benchbench.train.invariants import check_start
from benchbench.train.loop import train
from benchbench.train.memory_estimate import Estimate
from benchbench.train.memory_plan import GIB, plan, plans
from tests.diffusion.conftest import policy
from tests.forked import run
from tests.methods.test_draft import collect
from tests.tiny import write_tiny_sd
from tests.tiny_sd3 import write_tiny_sd3
from tests.train.test_kill import ADAPTER, CHILD
from tests.train.test_ranks import ROUNDING, costs, gap, together

__all__ = ["policy"]
OWN = {"draft": ["method.steps=random"], "awm": ["method.group=4", "method.times=2", "method.kl=0.5"]}
FLOW = ["train.batch=4", "train.eval_images=2", "train.lora_rank=2", "train.lora_alpha=2", "sampler.eval_steps=4"]
SAMPLERS = {
    "ddim": ["sampler.steps=5"],
    "ddim-0": ["sampler.steps=5", "sampler.eta=0"],
    "ode": ["sampler.steps=5", "sampler.dynamics=ode"],
    "sde": ["sampler.steps=5"],
}


@pytest.fixture(scope="module")
def tiny_sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sd3(tmp_path_factory.mktemp("sd3") / "model", t5=False)


@pytest.fixture
def own(configure, tiny_sd3: Path):
    """Makes the settings of a short run under a named sampler, of flow matching for ode and sde."""

    def make(method: str, sampler: str = "ddim", *words: str, samples: int = 16) -> RunConfig:
        overrides = [*OWN[method], *SAMPLERS[sampler], *words]
        if sampler.startswith("ddim"):
            return configure(method, *overrides, samples=samples)
        model = str(tiny_sd3)
        return load(method, model, "shapes-colour", "animals", samples, 0, "shapes-flow", [*FLOW, *overrides])

    return make


def quiet(config: RunConfig, out: Path, **words: object) -> Path:
    return train(config, out, device="cpu", log=lambda line: None, **words)  # type: ignore[arg-type]


@pytest.mark.parametrize("sampler", list(SAMPLERS))
@pytest.mark.parametrize("method", list(OWN))
def test_a_run(method: str, sampler: str, own, tmp_path: Path) -> None:
    """Its first batch passes the checks of the start; every number is finite, and the weights move."""
    out = quiet(own(method, sampler, samples=8), tmp_path / "run")
    rows = [row for row in read_metrics(out) if "loss" in row]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    first = rows[0]
    assert first["grad_norm"] > 0 and any(bool(value.any()) for value in load_file(out / ADAPTER).values())
    if method == "draft":
        assert 1 <= first["last_steps"] <= 5 and first["walk_gap"] < 1e-4 and first["latent_forwards"] == 0
    else:
        assert first["kl"] == 0 and abs(first["loss"]) < first["mse"]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "phase"), [("draft", "rollout"), ("awm", "optimizer")])
def test_a_killed_run_ends_in_the_same_bits(method: str, phase: str, own, tmp_path: Path) -> None:
    """A run of three rollouts is killed with SIGKILL in its second rollout or update, and goes on."""
    config = own(method, "ddim", "train.eval_every=0", "sampler.steps=8", samples=24)
    settings, out, log = tmp_path / "config.json", tmp_path / "killed", tmp_path / "phase.log"
    settings.write_text(config.model_dump_json())
    status, output = run(["-c", CHILD, str(settings), str(out), phase, "2", str(log)], tmp_path / "child.out")
    assert status == -signal.SIGKILL and log.read_text() == phase, output
    quiet(config, out, resume=True)
    whole = quiet(config, tmp_path / "whole")
    a, b = load_file(out / ADAPTER), load_file(whole / ADAPTER)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    rows = [[{k: v for k, v in row.items() if "second" not in k} for row in read_metrics(f)] for f in (out, whole)]
    assert rows[0] == rows[1]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "sampler"), [("draft", "ddim"), ("awm", "sde")])
def test_two_processes_train_as_one(method: str, sampler: str, own, tmp_path: Path) -> None:
    """Three images, or two groups, a rollout: the processes have 2 and 1 rows of DRaFT and as many of AWM."""
    batch, samples = (3, 6) if method == "draft" else (8, 16)
    config = own(method, sampler, f"train.batch={batch}", "train.eval_every=0", samples=samples)
    single = quiet(config, tmp_path / "one")
    results = together(2, tmp_path / "ranks", config, tmp_path / "two")
    assert all("value" in result for result in results), results
    assert gap(single, tmp_path / "two") < ROUNDING and costs(single) == costs(tmp_path / "two")


def test_what_a_rollout_costs_and_asks_for() -> None:
    """A random K of 20 steps counts as 10 in cost, and as 20 in memory; AWM has no gradient with guidance."""

    def config(method: str, *words: str) -> RunConfig:
        return load(method, "shapes", "shapes-colour", "shapes-simple", 16, 0, "shapes", words)

    # 20 evaluations and one reward an image; K = 3 of them with gradient, at 2.2 each
    assert rollout_cost(config("draft", "method.steps=3")) == RolloutCost(16, 1, 16, 20, 3, 1, 20 + 3 * 2.2)
    assert rollout_cost(config("draft", "method.steps=random")).unet_grads == 10
    assert sizes(config("draft", "method.steps=random")).batch.z.shape[:2] == (16, 20)
    # six times an image without guidance, a half each: by the reference, and with gradient
    assert rollout_cost(config("awm")) == RolloutCost(16, 1, 96, 20 + 3, 3, 1, 20 + 3 + 3 * 2.2)


@pytest.mark.slow
def test_memory_grows_with_the_steps_that_have_a_gradient(tmp_path: Path) -> None:
    """The memory for five steps, extrapolated from two and three, is what all five take; a random K is the largest."""
    words = ["method.steps=random", "sampler.steps=5", "train.batch=2"]
    model = str(write_tiny_sd(tmp_path / "sd", levels=1))
    with Estimate(load("draft", model, "shapes-colour", "animals", 8, 0, "shapes", words), "bf16") as found:
        fake = found._open()
        assert fake.batch.z.shape[:2] == (2, 5)
        all_five = fake._trained(1)
        assert fake.train_one_row == pytest.approx(all_five, rel=0.03)
        with fake._of_steps(1):
            assert fake._trained(1) < 0.4 * all_five


def test_a_walk_that_ends_elsewhere_is_found_before_the_first_update(policy: Policy) -> None:
    add_lora(policy.backbone.network, 2, 2.0, seed=0)
    batch = collect(policy, 3)
    check_start(policy, batch, DRaFT(), DRaFTConfig(), Noise(0, "train"))
    wrong = type(batch)(batch.x, batch.z.flip(1), batch.x0, batch.gradient, batch.cond)
    with pytest.raises(RunError, match="cannot be taken again"):
        check_start(policy, wrong, DRaFT(), DRaFTConfig(), Noise(0, "train"))
    for parameter in policy.parameters():
        parameter.data.add_(1.0)
    with pytest.raises(RunError, match="a new adapter changes the base model"):
        check_start(policy, batch, DRaFT(), DRaFTConfig(), Noise(0, "train"))


@pytest.mark.parametrize(("sampler", "named"), [("ddim-0", "sampler.eta=0"), ("ode", "sampler.dynamics=ode")])
def test_methods_that_learn_from_noise_refuse_a_sampler_without(sampler: str, named: str, own, configure) -> None:
    assert own("draft", sampler).method == "draft" and own("awm", sampler).method == "awm"
    with pytest.raises(UsageError, match=f"ddpo cannot be trained with {named}"):
        if sampler == "ode":
            load("ddpo", "shapes-flow", "shapes-colour", "animals", 8, 0, None, SAMPLERS[sampler])
        else:
            configure("ddpo", *SAMPLERS[sampler])


def test_a_reward_without_a_gradient_is_refused_before_anything_is_loaded(configure) -> None:
    with pytest.raises(UsageError, match="draft needs a differentiable reward, and jpeg_compressibility is not"):
        look_up(configure("draft", reward="jpeg_compressibility"))
    look_up(configure("awm", reward="jpeg_compressibility"))


@pytest.mark.long
@pytest.mark.parametrize(("model", "words"), [("sd15", ["method.steps=random"]), ("sd15", []), ("sd35m", [])])
def test_real_sizes_of_draft_fit_24_gb(model: str, words: list[str]) -> None:
    config = load("draft", model, "aesthetic", "animals", 16, 0, None, words)
    result = plan(config, 24 * GIB, "bf16")
    assert result.fits, result


@pytest.mark.long
@pytest.mark.parametrize("model", ["sd15", "sd35m"])
def test_real_sizes_of_awm_fit_24_and_80_gb(model: str) -> None:
    config = load("awm", model, "aesthetic", "animals", 48, 0, None)
    small, large = plans(config, [24 * GIB, 80 * GIB], "bf16")
    assert small.fits and large.fits and not large.gradient_checkpointing
