"""D3PO: its pairs and its gradient (methods.md P1, P2, P6)."""

from __future__ import annotations

import math

import pytest
import torch

from benchbench.api import Reward, StepPairs
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.schedule import log_prob
from benchbench.methods.d3po import D3PO, D3POConfig
from benchbench.noise import Noise, Sample
from tests.methods.descent import descend
from tests.methods.rewards import Brightness, Tied

SAMPLES = [Sample("cat", 0), Sample("dog", 1, 1), Sample("ant", 2, 2)]
CFG = D3POConfig(minibatch=3, steps=(20, 12, 1))


def collect(policy: Policy, reward: Reward, cfg: D3POConfig = CFG) -> list[StepPairs]:
    step_reward = StepReward(Decoder(policy.backbone), reward, policy)
    with torch.no_grad():
        return [batch for batch, _ in D3PO().collect(policy, SAMPLES, step_reward, cfg, Noise(0, "train"))]


def test_pairs_share_x_T_and_the_winner_s_image_is_better(tuned: Policy) -> None:
    (pairs,) = collect(tuned, Brightness())
    assert len(pairs) == 9
    first, last = pairs[pairs.k == 20], pairs[pairs.k == 1]
    assert torch.equal(first.x_w, first.x_l) and not torch.equal(first.next_w, first.next_l)
    assert not torch.equal(last.x_w, last.x_l)  # two trajectories
    bright = [Decoder(tuned.backbone)(x).flatten(1).mean(1) for x in (last.next_w, last.next_l)]
    assert (bright[0] >= bright[1]).all() and tuned.cost.pairs == 3 and tuned.cost.reward_calls == 6


def test_at_the_reference_the_loss_is_log_two_with_a_gradient(policy: Policy, tuned: Policy) -> None:
    """P1: B is set to zero, so that theta = ref."""
    with torch.no_grad():
        for name, parameter in tuned.backbone.network.named_parameters():
            if ".lora_B." in name:
                parameter.zero_()
    (pairs,) = collect(tuned, Brightness())
    loss, metrics = D3PO().loss(tuned, pairs, CFG, Noise(0, "train"))
    assert float(loss.detach()) == pytest.approx(math.log(2), abs=1e-6) and float(metrics["margin"]) == pytest.approx(
        0, abs=1e-6
    )
    gradients = torch.autograd.grad(loss, tuned.parameters())
    assert sum(float(g.abs().sum()) for g in gradients) > 0


def test_ties_give_log_two_and_no_gradient(tuned: Policy) -> None:
    """P2: ties have weight 0."""
    (pairs,) = collect(tuned, Tied())
    loss, _ = D3PO().loss(tuned, pairs, CFG, Noise(0, "train"))
    assert float(loss.detach()) == pytest.approx(math.log(2), abs=1e-6)
    assert all(float(g.abs().sum()) == 0 for g in torch.autograd.grad(loss, tuned.parameters()))


def test_gradient_by_the_means(tuned: Policy) -> None:
    """P6: dL/dmu_w = -(f/(sigma² D)) (x'_w - mu_w) and dL/dmu_l = +(f/(sigma² D)) (x'_l - mu_l), f = beta (1 - P).

    Computed on float64 tensors without the network: the means are leaves, and log pi_ref is a constant.
    """
    from benchbench.losses import pair_dpo

    g = torch.Generator().manual_seed(0)
    x_w, x_l, mu_w, mu_l = (torch.randn(1, 4, 8, 8, generator=g, dtype=torch.float64) for _ in range(4))
    mu_w.requires_grad_(), mu_l.requires_grad_()
    sigma, beta, D = torch.full((1, 1, 1, 1), 0.7, dtype=torch.float64), 0.3, 256
    ratio_w = log_prob(x_w, mu_w, sigma) - log_prob(x_w, mu_w.detach() + 0.01, sigma)
    ratio_l = log_prob(x_l, mu_l, sigma) - log_prob(x_l, mu_l.detach() + 0.01, sigma)
    pair_dpo(ratio_w, ratio_l, beta, None, torch.ones(1, dtype=torch.float64)).sum().backward()
    f = beta * (1 - torch.sigmoid(beta * (ratio_w - ratio_l))).detach().view(1, 1, 1, 1)
    torch.testing.assert_close(mu_w.grad, (-f / (0.49 * D) * (x_w - mu_w)).detach())
    torch.testing.assert_close(mu_l.grad, (f / (0.49 * D) * (x_l - mu_l)).detach())


def test_a_step_of_descent_prefers_the_winner(tuned: Policy) -> None:
    (pairs,) = collect(tuned, Brightness())
    descend(tuned, lambda: D3PO().loss(tuned, pairs, CFG, Noise(0, "train")), fall=1e-4)
