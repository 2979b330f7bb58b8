"""DiffusionNFT: its groups and labels, the old policy's rollout, and its loss by hand for each kind of prediction."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchbench.diffusion import backbones
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.diffusion.rollout import walk
from benchbench.methods.diffusion_nft import DiffusionNFT, DiffusionNFTConfig, Noised
from benchbench.noise import Noise, Sample
from tests.methods.rewards import Brightness
from tests.tiny import write_tiny_sd
from tests.tiny_sd3 import write_tiny_sd3

SAMPLES = [Sample("cat", 3), Sample("dog", 4, 1)]
NOISE = Noise(0, "train")
SMALL = {"group": 3, "minibatch": 6}
KINDS = ["epsilon", "v", "velocity"]
N = 4


@pytest.fixture(scope="module")
def folders(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("kinds")
    v = write_tiny_sd(made / "v", prediction_type="v_prediction")
    return {"epsilon": tiny_sd, "v": v, "velocity": write_tiny_sd3(made / "sd3", t5=False)}


def policy_of(kind: str, folders: dict[str, Path]) -> Policy:
    """Returns a policy of 5 steps with old weights that equal its own and differ from the base model's."""
    sampler = {"dynamics": "ode", "shift": 3.0} if kind == "velocity" else {"eta": 1.0}
    policy = make_policy(backbones.load(str(folders[kind]), "cpu"), 5, guidance_scale=1.0, **sampler)
    add_lora(policy.backbone.network, 2, 2.0, seed=0)
    move(policy, 1)
    policy.keep_old()
    return policy


def move(policy: Policy, seed: int, size: float = 0.1) -> None:
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=draw))


def reward_of(policy: Policy) -> StepReward:
    return StepReward(Decoder(policy.backbone), Brightness(), policy)


def collect(policy: Policy, cfg: DiffusionNFTConfig) -> list[Noised]:
    reward = reward_of(policy)
    with torch.no_grad():
        return [batch for batch, _ in DiffusionNFT().collect(policy, SAMPLES, reward, cfg, NOISE)]


def rows_of(policy: Policy) -> Noised:
    """Returns four images at four of the five times, with labels that are neither 0 nor 1 nor a half alone."""
    x = torch.randn(N, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    label, k = torch.tensor([0.9, 0.5, 0.2, 0.0]), torch.tensor([5, 4, 2, 1])
    return Noised(x, policy.encode(["cat", "dog", "ant", "cat"]), torch.arange(7, 7 + N), label, k)


def noised(policy: Policy, batch: Noised) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns x_t, t, x0 and a factor f with x̂0 - x0 = -f (p - target), in float64 from the schedule's definition."""
    eps = NOISE.normal([Sample("", int(n)) for n in batch.draw], "eps", shape=(4, 8, 8)).double()
    x0, tau = batch.x.double(), policy.schedule.tau[batch.k]
    if policy.schedule.prediction == "velocity":
        s = (tau.double() / 1000).view(-1, 1, 1, 1)
        return ((1 - s) * x0 + s * eps).float(), tau, eps - x0, s
    a = policy.schedule.alpha_bar[batch.k].double().view(-1, 1, 1, 1)
    x = (a.sqrt() * x0 + (1 - a).sqrt() * eps).float()
    if policy.schedule.prediction == "v":
        return x, tau, a.sqrt() * eps - (1 - a).sqrt() * x0, (1 - a).sqrt()
    return x, tau, eps, (1 - a).sqrt() / a.sqrt()


def E(error: Tensor) -> Tensor:
    """Returns mean square over mean absolute value, whose gradient is left out: [N]."""
    return error.square().flatten(1).mean(1) / error.detach().abs().flatten(1).mean(1)


def test_labels_are_advantages_in_a_group_and_every_row_has_its_own_noise(tuned: Policy) -> None:
    """Six images at int(.25 * 20) = 5 distinct times each, in two passes. By hand: A = (r - group mean)/deviation."""
    tuned.keep_old()
    cfg = DiffusionNFTConfig(**SMALL, timestep_fraction=0.25, inner_epochs=2, advantage_clip=0.8)
    first, second = collect(tuned, cfg)
    assert len(first) == len(second) == 30
    draws = torch.cat([first.draw, second.draw])
    assert len(set(draws.tolist())) == 60 and bool((draws % 21 == torch.cat([first.k, second.k])).all())
    x0 = {(int(d) // 21 // 2): x for d, x in zip(first.draw, first.x, strict=True)}
    assert sorted(x0) == list(range(9, 15))  # 3 images of the samples 3 and 4
    images = torch.stack([x0[number] for number in sorted(x0)])
    r = reward_of(tuned)(images, ["cat"] * 6, "step 0").double()
    centred = torch.cat([r[:3] - r[:3].mean(), r[3:] - r[3:].mean()])
    A = (centred / (r.std(correction=0) + 1e-4)).clamp(-0.8, 0.8)
    assert bool((A.abs() == 0.8).any()) and bool((A.abs() < 0.8).any())
    for batch in (first, second):
        for number in range(6):
            mine = batch.draw // 21 // 2 == 9 + number
            assert len(set(batch.k[mine].tolist())) == 5
            torch.testing.assert_close(batch.label[mine].double(), (0.5 + A[number] / 1.6).expand(5), atol=1e-4, rtol=0)
    assert set(map(tuple, [first.k.tolist(), second.k.tolist()])) != {tuple(first.k.tolist())}


@pytest.mark.parametrize("kind", ["epsilon", "velocity"])
def test_images_are_of_the_old_policy(kind: str, folders: dict[str, Path]) -> None:
    policy = policy_of(kind, folders)
    images = [Sample(s.prompt, 3 * s.number + i, s.index) for s in SAMPLES for i in range(3)]
    old = walk(policy, images, NOISE)
    move(policy, 2)
    new = walk(policy, images, NOISE)
    (batch,) = collect(policy, DiffusionNFTConfig(**SMALL))
    for row, draw in zip(batch.x, batch.draw, strict=True):
        place = int(draw) // 6 - 9
        assert torch.equal(row, old[place]) and not torch.equal(row, new[place])


@pytest.mark.parametrize("b", [1.0, 0.1])
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_step(kind: str, b: float, folders: dict[str, Path]) -> None:
    """Where v = v_old, v+ = v- = v: the loss is c/b mean E(v), since r + (1 - r) = 1.

    dv+/dv = b and dv-/dv = -b, so the gradient is c/b mean (r b - (1 - r) b) dE = mean c (2 r - 1) dE(v), the clipped
    advantage times the gradient of the denoising error, whatever b is.
    """
    policy = policy_of(kind, folders)
    batch, cfg = rows_of(policy), DiffusionNFTConfig(b=b, kl=0)
    loss, metrics = DiffusionNFT().loss(policy, batch, cfg, NOISE)
    assert float(metrics["off_policy"]) == 0 and "kl" not in metrics
    x, tau, target, f = noised(policy, batch)
    errors = E(f * (policy.predict(x, tau, batch.cond) - target))
    assert float(loss.detach()) == pytest.approx(5 / b * float(errors.detach().mean()), rel=1e-4)
    ours = torch.autograd.grad(loss, policy.parameters())
    by_hand = torch.autograd.grad((5 * (2 * batch.label.double() - 1) * errors).mean(), policy.parameters())
    scale = max(float(g.abs().max()) for g in by_hand)
    for a, g in zip(ours, by_hand, strict=True):
        torch.testing.assert_close(a, g, atol=2e-4 * scale / b, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_by_hand_away_from_the_old_policy(kind: str, folders: dict[str, Path]) -> None:
    """The three predictions come from three settings of the weights; everything else is the paper's formula."""
    policy = policy_of(kind, folders)
    batch, cfg = rows_of(policy), DiffusionNFTConfig(b=0.3, kl=0.7, advantage_clip=2.0)
    x, tau, target, f = noised(policy, batch)
    with torch.no_grad():
        v_old, v_ref = policy.predict(x, tau, batch.cond).double(), policy.reference_predict(x, tau, batch.cond)
        move(policy, 2, size=0.5)
        v = policy.predict(x, tau, batch.cond).double()
        loss, metrics = DiffusionNFT().loss(policy, batch, cfg, NOISE)
    good, bad = E(f * (0.7 * v_old + 0.3 * v - target)), E(f * (1.3 * v_old - 0.3 * v - target))
    r, kl = batch.label.double(), (v - v_ref).square().mean()
    by_hand = 2 / 0.3 * (r * good + (1 - r) * bad).mean() + 0.7 * kl
    assert float((good / bad - 1).abs().mean()) > 0.02 and float(kl) > 0.02
    assert float(loss) == pytest.approx(float(by_hand), rel=1e-4)
    assert float(metrics["kl"]) == pytest.approx(float(kl), rel=1e-4)
    assert float(metrics["off_policy"]) == pytest.approx(float((v - v_old).square().mean()), rel=1e-4)


def test_the_gradient_is_that_of_finite_differences(folders: dict[str, Path]) -> None:
    """Along the gradient g, with the mean absolute errors held: (L(theta + h g) - L(theta - h g))/2h = |g|²."""
    policy = policy_of("velocity", folders)
    batch, cfg = rows_of(policy), DiffusionNFTConfig(b=0.5, kl=0.1)
    x, tau, target, f = noised(policy, batch)
    v_old = policy.old_predict(x, tau, batch.cond).double()
    v_ref = policy.reference_predict(x, tau, batch.cond)
    move(policy, 2, size=0.5)
    loss, _ = DiffusionNFT().loss(policy, batch, cfg, NOISE)
    g = torch.autograd.grad(loss, policy.parameters())

    @torch.no_grad()
    def parts() -> tuple[Tensor, Tensor, Tensor]:
        v = policy.predict(x, tau, batch.cond).double()
        return f * (0.5 * v_old + 0.5 * v - target), f * (1.5 * v_old - 0.5 * v - target), (v - v_ref).square().mean()

    sizes = [error.abs().flatten(1).mean(1) for error in parts()[:2]]

    def held() -> float:
        good, bad, kl = parts()
        r, squares = batch.label.double(), [error.square().flatten(1).mean(1) for error in (good, bad)]
        return float(5 / 0.5 * (r * squares[0] / sizes[0] + (1 - r) * squares[1] / sizes[1]).mean() + 0.1 * kl)

    norm2 = sum(float(part.double().square().sum()) for part in g)
    h, values = 1e-2 / norm2**0.5, []
    for sign in (1, -2):  # to theta + h g, then to theta - h g
        with torch.no_grad():
            for parameter, part in zip(policy.parameters(), g, strict=True):
                parameter.add_(sign * h * part)
        values.append(held())
    assert (values[0] - values[1]) / (2 * h) == pytest.approx(norm2, rel=1e-2)


def test_the_old_policy_follows_fast_at_first() -> None:
    """By hand: .001 of one step, .3 of 300, and never more than .5."""
    decays = [DiffusionNFT.old_decay(DiffusionNFTConfig(), n) for n in (1, 300, 500, 9000)]
    assert decays == pytest.approx([0.001, 0.3, 0.5, 0.5])
    assert DiffusionNFT.old_decay(DiffusionNFTConfig(old_rate=0), 9000) == 0


def test_what_it_needs() -> None:
    assert DiffusionNFT.needs(DiffusionNFTConfig()) == {"old", "reference"}
    assert DiffusionNFT.needs(DiffusionNFTConfig(kl=0)) == {"old"}
