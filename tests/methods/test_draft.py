"""DRaFT: its gradient is that of the reward through the last K steps, on diffusion and on flow matching."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchbench.api import LastSteps, UsageError, reward_gradient, take_again
from benchbench.config import load
from benchbench.diffusion import backbones
from benchbench.diffusion.cost import Cost
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.diffusion.rollout import NoiseSource
from benchbench.methods.draft import DRaFT, DRaFTConfig
from benchbench.noise import Noise, Sample
from tests.methods.rewards import Brightness
from tests.tiny_sd3 import write_tiny_sd3

SAMPLES = [Sample("cat", 3), Sample("dog", 4, 1), Sample("ant", 5, 2)]
PROMPTS = [s.prompt for s in SAMPLES]
NOISE = Noise(0, "train")


class Squared(Brightness):
    """The mean square of pixels, whose gradient depends on the image."""

    def score_differentiable(self, images: Tensor, prompts: object) -> Tensor:
        return images.square().flatten(1).mean(1)


@pytest.fixture(scope="module")
def tiny_sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sd3(tmp_path_factory.mktemp("sd3") / "model", t5=False)


def moved(folder: Path, **sampler: object) -> Policy:
    """Returns a policy whose adapter differs from its start, so that every matrix of it has a gradient."""
    policy = make_policy(backbones.load(str(folder), "cpu"), **sampler)  # type: ignore[arg-type]
    add_lora(policy.backbone.network, 2, 2.0, seed=0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return policy


def step_reward(policy: Policy) -> StepReward:
    return StepReward(Decoder(policy.backbone), Squared(), policy)


def unrounded(policy: Policy, x0: Tensor) -> Tensor:
    """Returns the mean brightness [N] of images before they are rounded to 8 bits, decoded in double precision."""
    vae = copy.deepcopy(policy.backbone.vae).double()
    return Decoder(replace(policy.backbone, vae=vae))(x0).double().flatten(1).mean(1)


def collect(policy: Policy, K: int | str) -> LastSteps:
    with torch.no_grad():
        ((batch, metrics),) = DRaFT().collect(policy, SAMPLES, step_reward(policy), DRaFTConfig(steps=K), NOISE)
    assert metrics["last_steps"] == batch.z.shape[1] and batch.z.shape[0] == len(SAMPLES)
    return batch


def through_the_walk(policy: Policy, K: int) -> tuple[Tensor, list[Tensor]]:
    """Returns the mean reward and the gradient of minus it, by autograd from x_T to the score; no steps are stored."""
    draws, cond = NoiseSource(policy, NOISE, SAMPLES), policy.encode(PROMPTS)
    x = draws.start()
    for k in range(policy.schedule.steps, 0, -1):
        with torch.set_grad_enabled(k <= K):
            step = policy.step(x, k, cond)
            x = step.mean + step.std * draws.z(k)
    r = step_reward(policy)(x, PROMPTS, "end").mean()
    return r.detach(), list(torch.autograd.grad(-r, policy.parameters()))


def distance(a: list[Tensor], b: list[Tensor]) -> float:
    """Returns |a - b| / |b| over all parameters together."""
    flat_a, flat_b = (torch.cat([part.flatten() for part in parts]) for parts in (a, b))
    return float((flat_a - flat_b).norm() / flat_b.norm())


FLOW = {"steps": 4, "guidance_scale": 4.5, "shift": 3.0}
SAMPLERS = [
    ("tiny_sd", {"steps": 10, "eta": 1.0, "guidance_scale": 5.0}, 1),
    ("tiny_sd", {"steps": 10, "eta": 1.0, "guidance_scale": 5.0}, 4),
    ("tiny_sd", {"steps": 4, "eta": 0.0, "guidance_scale": 5.0}, 4),
    ("tiny_sd3", {**FLOW, "dynamics": "flow-sde"}, 3),
    ("tiny_sd3", {**FLOW, "dynamics": "ode"}, 2),
]


@pytest.mark.parametrize(("model", "sampler", "K"), SAMPLERS)
def test_the_gradient_is_that_of_the_reward_through_the_last_steps(
    model: str, sampler: dict[str, object], K: int, request: pytest.FixtureRequest
) -> None:
    """The distance to autograd through the walk and the reward is rounding; a step more or less is far away."""
    policy = moved(request.getfixturevalue(model), **sampler)
    batch = collect(policy, K)
    loss, metrics = DRaFT().loss(policy, batch, DRaFTConfig(), NOISE)
    ours = list(torch.autograd.grad(loss, policy.parameters()))
    reward, exact = through_the_walk(policy, K)
    assert distance(ours, exact) < 1e-5
    other = through_the_walk(policy, K + 1 if policy.schedule.steps > K else K - 1)[1]
    assert distance(ours, other) > 1e-2
    assert float(metrics["walk_gap"]) < 1e-6
    assert float(loss.detach()) == pytest.approx(-float((batch.gradient * batch.x0).sum()) / len(SAMPLES), rel=1e-4)
    assert float(step_reward(policy)(batch.x0, PROMPTS, "end").mean()) == pytest.approx(float(reward), rel=1e-5)


def test_the_reward_s_gradient_by_differences(tuned: Policy) -> None:
    """Where no pixel is clamped in between: r(x + h d) - r(x - h d) = 2 h <g, d>; in parts as for all rows at once."""
    x0 = 0.1 * torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    reward, h = StepReward(Decoder(tuned.backbone), Brightness(), tuned), 1e-4
    r, g = reward_gradient(reward, x0, PROMPTS)
    assert r.shape == (3,) and g.shape == x0.shape and tuned.cost.reward_calls == 3
    d = torch.randn(x0.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        difference = unrounded(tuned, x0 + h * d) - unrounded(tuned, x0 - h * d)
    torch.testing.assert_close((g * d).flatten(1).sum(1).double(), difference / (2 * h), atol=1e-4, rtol=1e-2)
    reward.guiding.size = 2
    torch.testing.assert_close(reward_gradient(reward, x0, PROMPTS)[1], g)


def test_a_step_down_the_gradient_raises_the_reward_as_much_as_it_says(tuned: Policy) -> None:
    """To first order a step of size a along -grad raises r by a |grad|², where only the last steps have moved."""
    reward, rise = StepReward(Decoder(tuned.backbone), Brightness(), tuned), 1e-5
    with torch.no_grad():
        ((batch, _),) = DRaFT().collect(tuned, SAMPLES, reward, DRaFTConfig(steps=3), NOISE)
    loss, _ = DRaFT().loss(tuned, batch, DRaFTConfig(), NOISE)
    gradients = torch.autograd.grad(loss, tuned.parameters())
    square = sum(float(g.square().sum()) for g in gradients)
    with torch.no_grad():
        for parameter, gradient in zip(tuned.parameters(), gradients, strict=True):
            parameter -= rise / square * gradient
        rose = unrounded(tuned, take_again(tuned, batch)) - unrounded(tuned, batch.x0)
    assert float(rose.mean()) == pytest.approx(rise, rel=0.05)


def test_the_same_steps_are_taken_again_from_where_they_began(tuned: Policy) -> None:
    batch = collect(tuned, 5)
    with torch.no_grad():
        torch.testing.assert_close(take_again(tuned, batch), batch.x0, atol=1e-6, rtol=1e-5)
        other = LastSteps(batch.x, batch.z.flip(1), batch.x0, batch.gradient, batch.cond)
        assert float((take_again(tuned, other) - batch.x0).norm() / batch.x0.norm()) > 1e-2


def test_work_is_counted_as_gradients_of_weights(tuned: Policy) -> None:
    """20 evaluations of 3 images in the rollout; K = 2 of each with gradient, none for the latents alone."""
    batch = collect(tuned, 2)
    assert tuned.cost == Cost(unet_evals=60, reward_calls=3)
    DRaFT().loss(tuned, batch, DRaFTConfig(), NOISE)
    assert tuned.cost == Cost(unet_evals=60, reward_calls=3, unet_grads=6)


def test_gradient_checkpointing_changes_no_gradient(tuned: Policy) -> None:
    batch = collect(tuned, 3)

    def gradients() -> list[Tensor]:
        loss, _ = DRaFT().loss(tuned, batch, DRaFTConfig(), NOISE)
        return list(torch.autograd.grad(loss, tuned.parameters()))

    plain = gradients()
    tuned.backbone.network.enable_gradient_checkpointing()
    assert distance(gradients(), plain) < 1e-6 and tuned.cost.checkpointed_forwards == 2 * 3 * 3


def test_a_random_number_of_steps_is_a_function_of_the_rollout(tuned: Policy) -> None:
    """K is 1 to T, each as often, by the seed and the number of the rollout's first sample; rows make no difference."""
    reward, cfg = StepReward(lambda x: x[:, :3].sigmoid(), Brightness(), tuned), DRaFTConfig(steps="random")  # type: ignore[arg-type]
    tuned.schedule = make_policy(tuned.backbone, 4, 1.0).schedule
    tuned._network = lambda x, tau, cond: 0 * x  # type: ignore[method-assign]  # as the numbers of a walk do not matter

    def drawn(seed: int, rows: int = 1) -> list[int]:
        rollouts = [[Sample("cat", number + i) for i in range(rows)] for number in range(200)]
        with torch.no_grad():
            found = [next(DRaFT().collect(tuned, r, reward, cfg, Noise(seed, "train")))[0] for r in rollouts]
        return [batch.z.shape[1] for batch in found]

    Ks = drawn(0)
    assert set(Ks) == {1, 2, 3, 4} and all(30 <= Ks.count(K) <= 70 for K in (1, 2, 3, 4))
    assert drawn(0, rows=2) == Ks != drawn(1)


def test_more_steps_than_the_sampler_has_are_refused(tuned: Policy) -> None:
    with pytest.raises(UsageError, match=r"method\.steps=21 is more than the sampler has"):
        collect(tuned, 21)
    with pytest.raises(UsageError, match=r"method\.steps=6 is more than the sampler has"):  # before anything is loaded
        load("draft", "shapes", "shapes-colour", "animals", 8, 0, None, ["method.steps=6", "sampler.steps=5"])
