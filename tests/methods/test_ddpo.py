"""DDPO: its batches, advantages and gradient (methods.md D1-D5, C8)."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean, pstdev

import pytest
import torch

from benchbench.api import Transitions
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.policy import Policy
from benchbench.methods._advantage import PromptStats, batch_advantages
from benchbench.methods.ddpo import DDPO, DDPOConfig
from benchbench.noise import Noise, Sample
from tests.methods.rewards import Brightness

SAMPLES = [Sample("cat", i) for i in range(4)]


def collect(policy: Policy, cfg: DDPOConfig) -> list[Transitions]:
    reward = StepReward(Decoder(policy.backbone), Brightness(), policy)
    with torch.no_grad():
        return [batch for batch, _ in DDPO().collect(policy, SAMPLES, reward, cfg, Noise(0, "train"))]


def test_whole_batch_scores_have_mean_zero_and_deviation_one() -> None:
    """D3; D5: the scores of two rewards are -1 and 1, by population deviation: (1, 3) has mean 2 and sd 1."""
    scores = batch_advantages([0.2, 0.5, 0.9, 4.0])
    assert fmean(scores) == pytest.approx(0) and pstdev(scores) == pytest.approx(1)
    assert batch_advantages([1.0, 3.0]) == pytest.approx([-1, 1])


def test_prompt_statistics() -> None:
    """D4: below min_count rewards the batch's statistics count, then those of the prompt's last ``buffer`` ones.

    Pushes to "a" of 1, 2, 3 with min_count 3, buffer 3: the third has own mean 2 and sd sqrt(2/3), so (3-2)/0.8165 =
    1.2247; the fourth push, 7, sees 2, 3, 7: mean 4, sd sqrt(14/3) = 2.1602, so 3/2.1602 = 1.3887.
    """
    stats = PromptStats()
    assert stats.advantages(["a", "b"], [1.0, 3.0], 3, 3) == pytest.approx([-1, 1], abs=1e-5)
    stats.advantages(["a"], [2.0], 3, 3)
    assert stats.advantages(["a"], [3.0], 3, 3) == pytest.approx([1.2247], abs=1e-4)
    assert stats.advantages(["a"], [7.0], 3, 3) == pytest.approx([1.3887], abs=1e-4)
    copy = PromptStats()
    copy.load_state(stats.state())
    assert copy.rewards == {"a": [2.0, 3.0, 7.0], "b": [3.0]}


def test_collects_every_step_of_every_image_in_minibatches(tuned: Policy) -> None:
    batches = collect(tuned, DDPOConfig(minibatch=2, steps=(20, 12, 2)))
    assert [len(batch) for batch in batches] == [6, 6]
    assert sorted(batches[0].k.tolist()) == [2, 2, 12, 12, 20, 20]
    (all_rows,) = collect(tuned, DDPOConfig(minibatch=4))
    assert len(all_rows) == 80
    assert all_rows.advantage[:4].tolist() == pytest.approx(all_rows.advantage[-4:].tolist())  # one advantage an image


def test_first_loss_is_minus_the_mean_advantage_and_the_policy_gradient(tuned: Policy) -> None:
    """D1: at ratio 1, L = -mean(A) and dL/dtheta = -mean(A dlog p/dtheta), computed here without ratio and clip."""
    (batch,) = collect(tuned, DDPOConfig(minibatch=4, steps=(16, 8)))
    loss, metrics = DDPO().loss(tuned, batch, DDPOConfig(), Noise(0, "train"))
    assert float(loss.detach()) == pytest.approx(-float(batch.advantage.mean()), abs=1e-5)
    assert float(metrics["log_ratio_abs"]) < 1e-5
    ours = torch.autograd.grad(loss, tuned.parameters())
    log_prob = tuned.step(batch.x, batch.k, batch.cond).log_prob(batch.x_next)
    plain = torch.autograd.grad(-(batch.advantage * log_prob).mean(), tuned.parameters())
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-3)


def test_the_order_of_time_does_not_matter(tuned: Policy) -> None:
    """C8: the loss over all steps is the same in any order of the rows.

    Each row has its own ratio and its own positive advantage, so that the loss depends on which ratio goes with which
    advantage. All summands have one sign, so that a relative tolerance is meaningful; it is that of a log-prob, which
    changes by at most 1e-5 in another row of a batch.
    """
    (batch,) = collect(tuned, DDPOConfig(minibatch=4, steps=(16, 8, 4)))
    spread = torch.linspace(0, 1, len(batch))
    batch = replace(batch, log_prob=batch.log_prob - spread, advantage=1 + spread)
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))
    cfg = DDPOConfig(clip=None)
    with torch.no_grad():
        a, _ = DDPO().loss(tuned, batch, cfg, Noise(0, "train"))
        b, _ = DDPO().loss(tuned, batch[order], cfg, Noise(0, "train"))
        shuffled, _ = DDPO().loss(tuned, replace(batch, advantage=batch.advantage[order]), cfg, Noise(0, "train"))
    assert float(a) == pytest.approx(float(b), rel=1e-5)
    assert float(a) != pytest.approx(float(shuffled), rel=1e-2)


def test_a_fraction_of_the_steps_is_drawn_for_each_image(tuned: Policy) -> None:
    """A timestep_fraction of 0.25 gives each image 5 of 20 steps an epoch, none twice, and not the same for all."""
    batches = collect(tuned, DDPOConfig(minibatch=1, timestep_fraction=0.25, inner_epochs=2))
    drawn = [tuple(sorted(batch.k.tolist())) for batch in batches]
    assert len(drawn) == 8 and all(len(set(steps)) == 5 for steps in drawn) and len(set(drawn)) > 4


def test_the_sum_of_log_probs_is_256_times_their_mean(tuned: Policy) -> None:
    """With 4 x 8 x 8 latent dimensions the paper's log-ratio is 256 times the released code's mean.

    So is the gradient at ratio 1, which is -mean(A dlog p) with log p summed. The clip engages 256 times sooner.
    """
    (batch,) = collect(tuned, DDPOConfig(minibatch=4, steps=(16, 8)))
    gradients = []
    for how in ("mean", "sum"):
        loss, _ = DDPO().loss(tuned, batch, DDPOConfig(log_prob=how, clip=None), Noise(0, "train"))
        gradients.append(torch.autograd.grad(loss, tuned.parameters()))
    for mean, total in zip(*gradients, strict=True):
        torch.testing.assert_close(total, 256 * mean, atol=1e-4, rtol=1e-2)
    shifted = Transitions(batch.x, batch.x_next, batch.k, batch.cond, batch.log_prob - 1e-5, batch.advantage)
    for how, clipped in (("mean", 0.0), ("sum", 1.0)):
        _, metrics = DDPO().loss(tuned, shifted, DDPOConfig(log_prob=how, clip=1e-3), Noise(0, "train"))
        assert float(metrics["clipped"]) == clipped  # 1e-5 < 1e-3 < 256e-5
