"""TailorPO and TailorPO-G: candidates, ranking, guidance, gradient and cost (methods.md T1-T12)."""

from __future__ import annotations

import math

import pytest
import torch

from benchbench.api import Reward, StepPairs
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward, guide, look_ahead
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.rollout import NoiseSource, rollout
from benchbench.methods.tailorpo import TailorPO, TailorPOConfig, eta_at
from benchbench.methods.tailorpo_g import TailorPOG
from benchbench.noise import Noise, Sample
from tests.methods.descent import descend
from tests.methods.rewards import Brightness, Ranked, Tied
from tests.rounding import assert_same_but_rounding

SAMPLES = [Sample("cat", 0), Sample("dog", 1, 1), Sample("ant", 2, 2)]
PROMPTS = [s.prompt for s in SAMPLES]
CFG = TailorPOConfig()


def step_reward(policy: Policy, reward: Reward) -> StepReward:
    return StepReward(Decoder(policy.backbone), reward, policy)


def collect(policy: Policy, reward: Reward, cfg: TailorPOConfig = CFG) -> list[StepPairs]:
    with torch.no_grad():
        return [b for b, _ in TailorPO().collect(policy, SAMPLES, step_reward(policy, reward), cfg, Noise(0, "train"))]


def test_one_batch_of_pairs_with_one_parent_each(tuned: Policy) -> None:
    """T3: both candidates start at the same x, the same tensor. T12: the steps are 20, 16, 12, 8, 4."""
    (pairs,) = collect(tuned, Brightness())
    assert pairs.shared_parent and pairs.x_w is pairs.x_l and len(pairs) == 15
    part = pairs[2:7]
    assert part.shared_parent and part.x_w is part.x_l and len(part) == 5
    assert pairs.k.tolist() == [k for k in (20, 16, 12, 8, 4) for _ in range(3)]


def test_the_winner_carries_on(tuned: Policy) -> None:
    """T6: sampling on from the winner with the plain noise reaches the parent of the next trained step."""
    (pairs,) = collect(tuned, Brightness(), TailorPOConfig(update="rollout"))
    draws = NoiseSource(tuned, Noise(0, "train"), SAMPLES)
    x = pairs[pairs.k == 20].next_w
    with torch.no_grad():
        for k in (19, 18, 17):
            x = tuned.step(x, k, tuned.encode(PROMPTS)).draw(draws.z(k))
    assert_same_but_rounding(x, pairs[pairs.k == 16].x_w)  # here in a batch of 3, there of 6


def test_the_winner_is_the_one_whose_x0_scores_higher(tuned: Policy) -> None:
    (pairs,) = collect(tuned, Brightness())
    for k in (20, 12, 4):
        at = pairs[pairs.k == k]
        with torch.no_grad():
            r = [
                look_ahead(tuned, step_reward(tuned, Brightness()), x, k - 1, tuned.encode(PROMPTS), PROMPTS)[0]
                for x in (at.next_w, at.next_l)
            ]
        assert (r[0] >= r[1] - 1e-5).all()  # scored again in a batch of 3 in place of 6; the smallest gap is 3.6e-5


def test_any_increasing_transform_of_the_reward_gives_the_same_pairs(tuned: Policy) -> None:
    """T5: the ranking alone matters."""
    (a,), (b,) = collect(tuned, Brightness()), collect(tuned, Ranked())
    assert torch.equal(a.next_w, b.next_w) and torch.equal(a.next_l, b.next_l)


def test_ties_keep_candidate_zero_and_teach_nothing(tuned: Policy) -> None:
    (pairs,) = collect(tuned, Tied())
    loss, _ = TailorPO().loss(tuned, pairs, CFG, Noise(0, "train"))
    assert float(pairs.weight.sum()) == 0 and float(loss.detach()) == pytest.approx(math.log(2), abs=1e-6)
    start = NoiseSource(tuned, Noise(0, "train"), SAMPLES)
    with torch.no_grad():
        zero = tuned.step(start.start(), 20, tuned.encode(PROMPTS)).draw(start.z(20, "0"))
    assert torch.equal(pairs[pairs.k == 20].next_w, zero)


def test_gradient_is_along_the_difference_of_the_candidates(tuned: Policy) -> None:
    """T2: dL/dmu = -(f/(sigma² D)) (x_w - x_l), f = beta (1 - P): one policy mean serves both candidates.

    The network's mean is replaced by a leaf through a hook on ``policy.step``, so that the loss itself is under test.
    """
    (pairs,) = collect(tuned, Brightness(), TailorPOConfig(steps=(12,)))
    leaf: list[torch.Tensor] = []
    plain = tuned.step

    def step(x, k, cond):
        out = plain(x, k, cond)
        if torch.is_grad_enabled():
            mean = out.mean.detach().requires_grad_()
            leaf.append(mean)
            return type(out)(mean, out.std, out.x0)
        return out

    tuned.step = step  # type: ignore[method-assign]
    loss, _metrics = TailorPO().loss(tuned, pairs, CFG, Noise(0, "train"))
    (gradient,) = torch.autograd.grad(loss * len(pairs), leaf)
    sigma2, D = float(tuned.schedule.sigma[12]) ** 2, leaf[0][0].numel()
    margin = (leaf[0] - tuned.reference_step(pairs.x_w, pairs.k, pairs.cond).mean) * (pairs.next_w - pairs.next_l)
    f = 0.1 * (1 - torch.sigmoid(0.1 * margin.flatten(1).mean(1) / sigma2)).view(-1, 1, 1, 1)
    torch.testing.assert_close(
        gradient, (-f / (sigma2 * D) * (pairs.next_w - pairs.next_l)).detach(), rtol=1e-4, atol=1e-8
    )


def test_descent_raises_the_winner_over_the_loser(tuned: Policy) -> None:
    (pairs,) = collect(tuned, Brightness())
    descend(tuned, lambda: TailorPO().loss(tuned, pairs, CFG, Noise(0, "train")), fall=1e-4)


def test_cost_of_a_sample(tuned: Policy) -> None:
    """A sample takes 20 steps + 2 x 5 look-aheads - 5 reused for the winner = 25 evaluations, 10 rewards, 5 pairs."""
    collect(tuned, Brightness())
    assert (tuned.cost.unet_evals, tuned.cost.reward_calls, tuned.cost.pairs) == (25 * 3, 10 * 3, 5 * 3)


def test_update_inside_the_rollout(tuned: Policy) -> None:
    """As Algorithm 1 says, each step has its batch; no look-ahead is reused, since weights change: 30 evaluations."""
    batches = collect(tuned, Brightness(), TailorPOConfig(update="step"))
    assert [batch.k[0].item() for batch in batches] == [20, 16, 12, 8, 4]
    assert tuned.cost.unet_evals == 30 * 3
    (all_pairs,) = collect(tuned, Brightness())
    assert_same_but_rounding(StepPairs.cat(batches).next_w, all_pairs.next_w)


def test_last_step_is_scored_on_the_clean_latents(tuned: Policy) -> None:
    """At k = 1 the candidates are x_0 themselves, so they are decoded without evaluating the network."""
    collect(tuned, Brightness(), TailorPOConfig(steps=(1,)))
    assert tuned.cost.unet_evals == 20 * 3 and tuned.cost.reward_calls == 2 * 3


def test_eta_grows_towards_the_clean_end() -> None:
    """T8: .1 + .05 (1 + cos(pi k/20)) is .1000, .1095, .1345, .1655, .1905 at k = 20, 16, 12, 8, 4."""
    values = [eta_at(k, 20, (0.1, 0.2)) for k in (20, 16, 12, 8, 4)]
    assert values == pytest.approx([0.1, 0.10955, 0.13455, 0.16545, 0.19045], abs=1e-5)


def test_guidance_moves_along_the_gradient(tuned: Policy) -> None:
    """T7: x+ - x = 2 delta eta grad r, with a gradient computed here. T9: no parameter gets a gradient."""
    x = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    cond, reward = tuned.encode(PROMPTS), step_reward(tuned, Brightness())
    x_plus = guide(tuned, reward, x, 11, cond, PROMPTS, eta=0.3, delta=0.5)
    leaf = x.clone().requires_grad_()
    images = Decoder(tuned.backbone)(tuned.step(leaf, 11, cond).x0)
    (gradient,) = torch.autograd.grad(images.flatten(1).mean(1).sum(), leaf)
    torch.testing.assert_close(x_plus - x, 0.3 * gradient, atol=1e-6, rtol=1e-3)
    assert all(p.grad is None for p in tuned.parameters()) and not x_plus.requires_grad
    with torch.no_grad():
        before, after = (look_ahead(tuned, reward, y, 11, cond, PROMPTS)[0] for y in (x, x + 50 * (x_plus - x)))
    assert (after > before).all()


def test_an_undetached_target_would_have_no_gradient(tuned: Policy) -> None:
    """T11, negative: with r_high = r + delta not held fixed, (r_high - r)² = delta² has gradient 0."""
    x = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    r, _ = look_ahead(tuned, step_reward(tuned, Brightness()), x, 11, tuned.encode(PROMPTS), PROMPTS)
    (gradient,) = torch.autograd.grad(((r + 0.5) - r).square().sum(), x)
    assert float(gradient.abs().max()) < 1e-6


def test_guided_winner_is_trained_on_and_carries_on(tuned: Policy) -> None:
    """The pair's winner is x+, and the rollout continues from x+."""
    cfg = TailorPOG.Config(steps=(20,), eta=(0.2, 0.2))
    (guided,), (plain,) = collect(tuned, Brightness(), cfg), collect(tuned, Brightness(), TailorPOConfig(steps=(20,)))
    moved = guide(tuned, step_reward(tuned, Brightness()), plain.next_w, 19, tuned.encode(PROMPTS), PROMPTS, 0.2, 0.5)
    assert_same_but_rounding(guided.next_w, moved)
    assert torch.equal(guided.next_l, plain.next_l)


def test_linear_gaussian_world_has_no_jensen_gap_for_a_linear_reward() -> None:
    """T10: data x0 ~ N(m, s²) has the optimal e in closed form; x̂0 is then E[x0|x_t] exactly.

    A linear reward of x̂0 equals the mean reward over x0|x_t; a quadratic one misses the posterior variance
    s² (1-a) / (a s² + 1 - a) by exactly that much.
    """
    from benchbench.diffusion.diffusion_schedule import DiffusionSchedule
    from tests.diffusion.test_schedule import SD15

    schedule, m, s = DiffusionSchedule.from_config(SD15, 20, 1.0), 0.7, 0.5
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for k in (20, 12, 4):
        a = float(schedule.alpha_bar[k])
        mean = m + math.sqrt(a) * s**2 / (a * s**2 + 1 - a) * (x - math.sqrt(a) * m)  # E[x0 | x_t]
        variance = s**2 * (1 - a) / (a * s**2 + 1 - a)
        e = (x - math.sqrt(a) * mean) / math.sqrt(1 - a)
        x0 = schedule.split(x, e, k)[0]
        draws = mean + math.sqrt(variance) * torch.randn(20000, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        assert float(x0.mean()) == pytest.approx(float(draws.mean()), abs=0.01)
        assert float(draws.square().mean() - x0.square().mean()) == pytest.approx(variance, abs=0.02)


def test_rollout_without_trained_steps_is_plain_sampling(tuned: Policy) -> None:
    draws = NoiseSource(tuned, Noise(0, "train"), SAMPLES)
    visits = list(rollout(tuned, tuned.encode(PROMPTS), draws.start(), draws.z))
    (pairs,) = collect(tuned, Brightness(), TailorPOConfig(steps=(4,)))
    assert torch.equal(pairs.x_w, next(v.x for v in visits if v.k == 4))
