"""TailorPO: DPO on two candidates of one denoising step, ranked by their step-wise reward; the winner carries on.

Ren et al., "Refining Alignment Framework for Diffusion Models with Intermediate-Step Preference Ranking",
arXiv:2502.01667, Algorithm 1. TailorPO-G moves the winner along the reward's gradient first. There is no released code:
what the paper leaves open is an option here, and each default names its origin.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from pydantic import Field

from benchbench.api import Method, MethodConfig, Metrics, Need, StepPairs
from benchbench.diffusion.guidance import StepReward, guide, look_ahead
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.rollout import Draws, rollout
from benchbench.noise import Noise, Sample

from ._step_pairs import step_pair_loss
from ._steps import Steps, trained_steps


class TailorPOConfig(MethodConfig):
    """Settings of section 4 of the paper; where it says "the same as D3PO", D3PO's released values."""

    steps: Steps = Field((20, 16, 12, 8, 4), description="trained step indices, T_fine-tune = 5 [paper]")
    beta: float = Field(
        0.1, gt=0, description="temperature, per latent dimension [D3PO code, referred to by the paper]"
    )
    clip: float | None = Field(0.1, gt=0, lt=1, description="ratios are held within 1 ± clip [D3PO code]; null: none")
    update: Literal["rollout", "step"] = Field(
        "rollout", description="optimiser step after the rollout [ours], or inside it after each trained step [Alg. 1]"
    )
    guidance: bool = Field(False, description="TailorPO-G: move the winner along the reward's gradient")
    delta: float = Field(0.5, gt=0, description="r_high = r + delta [paper, Table 1 only; inferred for training]")
    eta: tuple[float, float] = Field((0.1, 0.2), description="guidance strength at t = T and at t = 0, cosine [paper]")


class GuidedConfig(TailorPOConfig):
    """The same with guidance on."""

    guidance: bool = Field(True, description="TailorPO-G: move the winner along the reward's gradient [paper]")


def eta_at(k: int, steps: int, eta: tuple[float, float]) -> float:
    """eta_k = low + (high - low)/2 (1 + cos(pi k/T)): low at k = T, high at k = 0. The paper gives no formula."""
    low, high = eta
    return low + (high - low) / 2 * (1 + math.cos(math.pi * k / steps))


class TailorPO(Method):
    """At each trained step: draw two, look ahead, rank, [guide the winner,] learn, go on from the winner."""

    name = "tailorpo"
    paper = "arXiv:2502.01667, Alg. 1"
    Config = TailorPOConfig

    @classmethod
    def needs(cls, cfg: TailorPOConfig) -> frozenset[Need]:
        """The reference and a reward of x̂0; with guidance, the reward's gradient."""
        always: frozenset[Need] = frozenset({"reference", "step_reward"})
        return always | {"reward_gradient"} if cfg.guidance else always

    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: TailorPOConfig, noise: Noise
    ) -> Iterator[tuple[StepPairs, Metrics]]:
        """Walks every sample once; yields one Batch for the rollout, or one for each trained step."""
        n, prompts = len(samples), [s.prompt for s in samples]
        cond, draws = policy.encode(prompts), Draws(policy, noise, samples)
        ks = trained_steps(cfg.steps, policy.schedule)
        pairs, metrics = [], {}

        walk = rollout(policy, cond, draws.start(), draws.z)
        visit = next(walk)
        while visit.k > 0:
            if visit.k not in ks:
                visit = next(walk)
                continue
            x, k = visit.x, visit.k - 1
            # two candidates from one sample, and the reward that each leads to
            x_0, x_1 = visit.step.draw(draws.z(visit.k, "0")), visit.step.draw(draws.z(visit.k, "1"))
            r, ahead = look_ahead(policy, reward, torch.cat([x_0, x_1]), k, cond.repeat(2), prompts * 2)
            r_0, r_1 = r.chunk(2)
            first = r_0 >= r_1  # a tie keeps candidate 0, and teaches nothing
            keep = first.view(-1, 1, 1, 1)
            x_w, x_l = torch.where(keep, x_0, x_1), torch.where(keep, x_1, x_0)
            metrics = {"reward": torch.where(first, r_0, r_1).mean(), "reward_gap": (r_0 - r_1).abs().mean()}

            if cfg.guidance:
                x_plus = guide(
                    policy, reward, x_w, k, cond, prompts, eta_at(visit.k, policy.schedule.steps, cfg.eta), cfg.delta
                )
                metrics["guidance_per_sigma"] = ((x_plus - x_w) / visit.step.std).square().mean().sqrt()
                x_w, ahead = x_plus, None

            at = torch.full((n,), visit.k, device=x.device)
            pairs.append(StepPairs(x, x, x_w, x_l, at, cond, (r_0 != r_1).float()))
            policy.cost.pairs += n
            if cfg.update == "step":
                yield pairs.pop(), metrics
                ahead = None  # the weights have moved, so the look-ahead is stale
            winner = torch.arange(n, device=x.device) + torch.where(first, 0, n)
            visit = walk.send((x_w, ahead[winner] if ahead is not None else None))
        if pairs:
            yield StepPairs.cat(pairs), metrics

    def loss(self, policy: Policy, batch: StepPairs, cfg: TailorPOConfig, noise: Noise) -> tuple[torch.Tensor, Metrics]:
        """-log sigmoid(beta (log rho(x_w|x) - log rho(x_l|x))), rho held within 1 ± clip."""
        return step_pair_loss(policy, batch, cfg.beta, cfg.clip)


class TailorPOG(TailorPO):
    """TailorPO with guidance on."""

    name = "tailorpo-g"
    Config = GuidedConfig
