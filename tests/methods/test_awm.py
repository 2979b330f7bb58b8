"""AWM: its loss by hand for each kind of prediction, its rows, and which images become likelier."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchbench.api import Images
from benchbench.diffusion import backbones
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.methods.awm import AWM, AWMConfig
from benchbench.noise import Noise, Sample
from tests.methods.rewards import Brightness
from tests.tiny import write_tiny_sd
from tests.tiny_sd3 import write_tiny_sd3

SAMPLES = [Sample("cat", 3), Sample("dog", 4, 1)]
NOISE = Noise(0, "train")
SMALL = {"group": 3, "times": 2}
DDIM, FLOW = {"steps": 4, "eta": 1.0}, {"steps": 4, "dynamics": "ode", "shift": 3.0}


def collect(policy: Policy, cfg: AWMConfig) -> tuple[Images, Tensor]:
    """Returns the batch of one rollout, and the rewards of its images."""
    reward = StepReward(Decoder(policy.backbone), Brightness(), policy)
    with torch.no_grad():
        ((batch, _),) = AWM().collect(policy, SAMPLES, reward, cfg, NOISE)
        images = len(batch) // cfg.times
        return batch, reward(batch.x[:images], ["cat"] * images, "again")


@pytest.fixture(scope="module", params=["epsilon", "v", "velocity"])
def any_policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """Returns a policy of each kind of prediction with a fresh adapter."""
    folder = tmp_path_factory.mktemp("model") / request.param
    if request.param == "velocity":
        write_tiny_sd3(folder, t5=False)
    else:
        write_tiny_sd(folder, prediction_type={"v": "v_prediction"}.get(request.param, request.param))
    sampler = FLOW if request.param == "velocity" else DDIM
    policy = make_policy(backbones.load(str(folder), "cpu"), guidance_scale=2.0, **sampler)  # type: ignore[arg-type]
    add_lora(policy.backbone.network, 2, 2.0, seed=0)
    return policy


def by_hand(policy: Policy, batch: Images, kl: float) -> tuple[Tensor, Tensor]:
    """Returns the mean of A m + kl d and the mean of d, row by row in double precision.

    x_tau and the target are written out: abar is the product of 1 - beta, and sigma uniform and shifted by 3.
    """
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    abar, losses, distances = torch.cumprod(1 - betas, 0), [], []
    for i, number in enumerate(batch.draw.tolist()):
        row = Sample("", number)
        x0 = batch.x[i : i + 1]
        eps = NOISE.normal([row], "eps", "", shape=tuple(x0.shape[1:]))
        if policy.schedule.prediction == "velocity":
            u = (NOISE.integer(2**24, "tau", number) + 0.5) / 2**24
            s = 3 * u / (1 + 2 * u)
            x, tau, target = (1 - s) * x0 + s * eps, torch.tensor([1000 * s]), eps - x0
        else:
            step = NOISE.integer(1000, "tau", number)
            signal, scale = float(abar[step].sqrt()), float((1 - abar[step]).sqrt())
            x, tau = signal * x0 + scale * eps, torch.tensor([step])
            target = eps if policy.schedule.prediction == "epsilon" else signal * eps - scale * x0
        p, ref = (f(x, tau, batch.cond[i : i + 1]).double() for f in (policy.predict, policy.reference_predict))
        distances.append((p - ref).square().mean())
        losses.append(batch.label[i] * (p - target.double()).square().mean() + kl * distances[-1])
    return torch.stack(losses).mean(), torch.stack(distances).mean()


@torch.no_grad()
def test_the_loss_is_the_weighted_error_and_a_kl(any_policy: Policy) -> None:
    """At the start the loss is the mean of A (error of the reference), and the KL 0; then both by hand."""
    cfg = AWMConfig(**SMALL, kl=0.5)
    batch, _ = collect(any_policy, cfg)
    loss, metrics = AWM().loss(any_policy, batch, cfg, NOISE)
    expected, distance = by_hand(any_policy, batch, 0.5)
    assert float(distance) == 0 == float(metrics["kl"])
    assert float(loss) == pytest.approx(float(expected), rel=1e-4, abs=1e-6)
    plain = AWM().loss(any_policy, batch, AWMConfig(**SMALL, kl=0), NOISE)
    assert float(plain[0]) == float(loss) and "kl" not in plain[1]
    before = [parameter.clone() for parameter in any_policy.parameters()]
    for parameter in any_policy.parameters():
        parameter.add_(0.1)
    loss, metrics = AWM().loss(any_policy, batch, cfg, NOISE)
    expected, distance = by_hand(any_policy, batch, 0.5)
    for parameter, value in zip(any_policy.parameters(), before, strict=True):
        parameter.copy_(value)
    assert float(distance) > 1e-5
    assert float(metrics["kl"]) == pytest.approx(float(distance), rel=1e-3)
    assert float(loss) == pytest.approx(float(expected), rel=1e-3, abs=1e-6)


def test_rows_are_images_with_their_advantage_at_several_times(tuned: Policy) -> None:
    """Six images, numbers 9 to 14, twice each, with draws 18 to 29; A is within a group, by the rollout's deviation."""
    batch, r = collect(tuned, AWMConfig(**SMALL, advantage_clip=9.0))
    assert len(batch) == 12 and torch.equal(batch.x[:6], batch.x[6:])
    assert batch.draw.tolist() == [18, 20, 22, 24, 26, 28, 19, 21, 23, 25, 27, 29]
    groups = r.view(2, 3).double()
    A = ((groups - groups.mean(1, keepdim=True)) / (r.double().std(correction=0) + 1e-4)).flatten().float()
    torch.testing.assert_close(batch.label, A.repeat(2), atol=1e-5, rtol=1e-4)
    own, _ = collect(tuned, AWMConfig(**SMALL, advantage_clip=9.0, deviation="group"))
    A = ((groups - groups.mean(1, keepdim=True)) / (groups.std(1, correction=0, keepdim=True) + 1e-4)).flatten().float()
    torch.testing.assert_close(own.label, A.repeat(2), atol=1e-5, rtol=1e-4)
    clipped, _ = collect(tuned, AWMConfig(**SMALL, advantage_clip=0.25))
    torch.testing.assert_close(clipped.label, batch.label.clamp(-0.25, 0.25))
    assert len({tuned.schedule.draw_time(NOISE, [Sample("", d)]).item() for d in batch.draw.tolist()}) > 6


def test_descent_makes_good_images_likelier_and_bad_ones_less(tuned: Policy) -> None:
    cfg = AWMConfig(**SMALL, kl=0)
    batch, _ = collect(tuned, cfg)

    def errors() -> tuple[float, float]:
        """Returns the mean error of the rows with a positive and a negative advantage, weighted by its size."""
        with torch.no_grad():
            values = [float(AWM().loss(tuned, batch[i : i + 1], cfg, NOISE)[0]) for i in range(len(batch))]
        return sum(v for v in values if v > 0), -sum(v for v in values if v < 0)

    loss, _ = AWM().loss(tuned, batch, cfg, NOISE)
    gradients = torch.autograd.grad(loss, tuned.parameters())
    square = sum(float(g.square().sum()) for g in gradients)
    good, bad = errors()
    with torch.no_grad():
        for parameter, gradient in zip(tuned.parameters(), gradients, strict=True):
            parameter -= 1e-3 / square * gradient
    good_after, bad_after = errors()
    assert (good - bad) - (good_after - bad_after) == pytest.approx(1e-3 * len(batch), rel=0.05)
    assert good_after / good < bad_after / bad


def test_the_gradient_is_that_of_the_ratio_at_the_first_step(tuned: Policy) -> None:
    """The paper's -A exp(old m - new m), with old m = new m, has the gradient A dm."""
    cfg = AWMConfig(**SMALL, kl=0)
    batch, _ = collect(tuned, cfg)
    rows = [batch[i : i + 1] for i in range(len(batch))]
    m = torch.stack([AWM().loss(tuned, row, cfg, NOISE)[1]["mse"] for row in rows])  # the old errors
    terms = []
    for row, old in zip(rows, m, strict=True):
        weighted, _ = AWM().loss(tuned, row, cfg, NOISE)
        new = weighted / row.label[0]
        terms.append(-row.label[0] * (old - new).exp())
    ratio = torch.autograd.grad(torch.stack(terms).mean(), tuned.parameters())
    plain = torch.autograd.grad(AWM().loss(tuned, batch, cfg, NOISE)[0], tuned.parameters())
    for a, b in zip(plain, ratio, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-3)
