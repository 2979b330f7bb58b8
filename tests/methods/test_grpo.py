"""GRPO: its groups, advantages, KL and gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchbench.api import Transitions, UsageError
from benchbench.config import RunConfig, load
from benchbench.diffusion import backbones
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.methods._advantage import group_advantages
from benchbench.methods.grpo import GRPO, GRPOConfig
from benchbench.noise import Noise, Sample
from benchbench.train.inputs import check, look_up
from tests.methods.rewards import Brightness
from tests.tiny_sd3 import write_tiny_sd3

SAMPLES = [Sample("cat", 3), Sample("dog", 4, 1)]
NOISE = Noise(0, "train")
SMALL = {"group": 3, "minibatch": 6, "steps": (16, 8)}


def collect(policy: Policy, cfg: GRPOConfig) -> list[Transitions]:
    reward = StepReward(Decoder(policy.backbone), Brightness(), policy)
    with torch.no_grad():
        return [batch for batch, _ in GRPO().collect(policy, SAMPLES, reward, cfg, NOISE)]


def test_advantages_are_within_a_group() -> None:
    """By hand: (1, 3) has mean 2 and deviation 1, (10, 14) mean 12 and deviation 2; all four mean 7, variance 27.5."""
    scores = group_advantages([1.0, 3.0, 10.0, 14.0], 2, own_deviation=True)
    assert scores == pytest.approx([-1, 1, -1, 1], abs=2e-4)
    shared = group_advantages([1.0, 3.0, 10.0, 14.0], 2, own_deviation=False)
    assert shared == pytest.approx([-1 / 27.5**0.5, 1 / 27.5**0.5, -2 / 27.5**0.5, 2 / 27.5**0.5], abs=1e-4)
    assert group_advantages([2.0, 2.0], 2, own_deviation=True) == [0, 0]


def test_a_group_has_its_own_noise_and_maybe_one_start(tuned: Policy) -> None:
    """Six images of two samples. Of one start, x_T is equal within a group alone, and the next latents differ."""
    (own,) = collect(tuned, GRPOConfig(**{**SMALL, "steps": (20,)}))
    (shared,) = collect(tuned, GRPOConfig(**{**SMALL, "steps": (20,)}, shared_start=True))
    assert all(len(distinct(rows)) == 6 for rows in (own.x, own.x_next, shared.x_next))
    starts = distinct(shared.x)
    assert [len(rows) for rows in starts.values()] == [3, 3]
    for rows in starts.values():
        assert float(shared.advantage[rows].sum()) == pytest.approx(0, abs=1e-4) and shared.advantage[rows].any()


def distinct(latents: torch.Tensor) -> dict[bytes, list[int]]:
    """Returns the rows of each distinct value."""
    found: dict[bytes, list[int]] = {}
    for number, row in enumerate(latents):
        found.setdefault(row.numpy().tobytes(), []).append(number)
    return found


def test_first_loss_is_the_policy_gradient_of_the_group(tuned: Policy) -> None:
    """At ratio 1 the loss is -mean A and its gradient -mean(A dlog p), computed here without ratio, clip and KL."""
    (batch,) = collect(tuned, GRPOConfig(**SMALL, kl=0))
    loss, metrics = GRPO().loss(tuned, batch, GRPOConfig(**SMALL, kl=0), NOISE)
    assert float(loss.detach()) == pytest.approx(-float(batch.advantage.mean()), abs=1e-5) and "kl" not in metrics
    ours = torch.autograd.grad(loss, tuned.parameters())
    log_prob = tuned.step(batch.x, batch.k, batch.cond).log_prob(batch.x_next)
    plain = torch.autograd.grad(-(batch.advantage * log_prob).mean(), tuned.parameters())
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-3)


def test_the_kl_is_that_of_two_gaussians(tuned: Policy) -> None:
    """KL(N(m, s²) | N(m', s²)) = (m - m')²/(2 s²) for each dimension; here by torch.distributions, and its mean."""
    cfg = GRPOConfig(**SMALL, kl=0.5, clip=None)
    (batch,) = collect(tuned, cfg)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(0.05)
    loss, metrics = GRPO().loss(tuned, batch, cfg, NOISE)
    plain, _ = GRPO().loss(tuned, batch, GRPOConfig(**SMALL, kl=0, clip=None), NOISE)
    with torch.no_grad():
        step, reference = tuned.step(batch.x, batch.k, batch.cond), tuned.reference_step(batch.x, batch.k, batch.cond)
        std = step.std.expand_as(step.mean)
        exact = torch.distributions.kl_divergence(
            torch.distributions.Normal(step.mean, std), torch.distributions.Normal(reference.mean, std)
        ).mean()
    assert float(exact) > 1e-6
    torch.testing.assert_close(metrics["kl"], exact, atol=0, rtol=1e-4)
    torch.testing.assert_close(loss - plain, 0.5 * exact, atol=1e-6, rtol=1e-3)


def test_a_deviation_without_a_kl_is_told() -> None:
    assert GRPO.without_effect(GRPOConfig()) == {}
    assert list(GRPO.without_effect(GRPOConfig(kl=0))) == ["kl_std"]


@pytest.mark.parametrize("look", [check, look_up], ids=["dry run", "run"])
def test_the_released_deviation_is_refused_on_a_diffusion_model(look: Callable[[RunConfig], object]) -> None:
    """It is told before any weight is loaded; without a KL, and on flow matching, there is nothing to refuse."""

    def run(model: str, *overrides: str) -> RunConfig:
        words = ["method.kl_std=released", *overrides]
        return load("grpo", model, "shapes-colour", "shapes-simple", 16, 0, overrides=words)

    with pytest.raises(UsageError, match="grpo cannot be trained on shapes with these") as error:
        look(run("shapes", "method.kl=0.1"))
    assert "DDIM step has no such length" in error.value.cause and "method.kl_std=step" in error.value.cause
    look(run("shapes"))
    look(run("shapes-flow"))


def test_on_flow_matching_the_last_step_is_left_out(tmp_path_factory: pytest.TempPathFactory) -> None:
    """All steps but the last are trained; the released KL is -dt times the step's, as its deviation lacks sqrt(-dt)."""
    folder = write_tiny_sd3(tmp_path_factory.mktemp("sd3") / "model", t5=False)
    policy = make_policy(backbones.load(str(folder), "cpu"), 4, guidance_scale=1.0, dynamics="flow-sde", shift=3.0)
    add_lora(policy.backbone.network, 2, 2.0, seed=0)
    cfg = GRPOConfig(group=2, minibatch=4, kl=1.0)
    (batch,) = collect(policy, cfg)
    assert sorted(set(batch.k.tolist())) == [2, 3, 4] and len(batch) == 4 * 3
    loss, metrics = GRPO().loss(policy, batch, cfg, NOISE)
    assert float(loss.detach()) == pytest.approx(-float(batch.advantage.mean()), abs=1e-5) and float(metrics["kl"]) == 0
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05)
        rows = batch[batch.k == 3]
        dt = float(policy.schedule.noise_scale[3] - policy.schedule.noise_scale[2])
        step = GRPO().loss(policy, rows, cfg, NOISE)[1]["kl"]
        released = GRPO().loss(policy, rows, GRPOConfig(group=2, kl=1.0, kl_std="released"), NOISE)[1]["kl"]
    assert float(step) > 0
    torch.testing.assert_close(released, step * dt)
