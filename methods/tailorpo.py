"""TailorPO: DPO on two candidates of one denoising step, ranked by their step-wise reward; the winner goes on.

Ren et al., "Refining Alignment Framework for Diffusion Models with Intermediate-Step Preference Ranking",
arXiv:2502.01667, Algorithm 1. With ``guidance`` the winner first moves along the reward's gradient (tailorpo_g.py).
There is no released code. Choices that the paper leaves open are options here, and each default names its origin.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator

from benchbench.api import (
    Method,
    MethodConfig,
    Metrics,
    Need,
    Noise,
    NoiseSource,
    Policy,
    Sample,
    StepPairs,
    StepReward,
    guide,
    look_ahead,
    rollout,
)

from ._candidates import draw_candidates, mean_metrics, rank, select_rows
from ._step_pairs import LogProb, beta_without_effect, step_pair_loss
from ._steps import Steps, trained_steps


class TailorPOConfig(MethodConfig):
    """Settings of section 4 of the paper; D3PO's released values where the paper says "the same as D3PO"."""

    steps: Steps = Field((20, 16, 12, 8, 4), description="trained steps: T_fine-tune, a list, or all [paper: 5 of 20]")
    beta: float = Field(0.1, gt=0, description="temperature of the preference [D3PO code, referred to by the paper]")
    clip: float | None = Field(0.1, gt=0, lt=1, description="ratios are held within 1 ± clip [D3PO code]; null: none")
    log_prob: LogProb = Field("mean", description="mean over latent dimensions [D3PO code]; sum: as papers write it")
    update: Literal["rollout", "step"] = Field(
        "rollout", description="optimizer step after the rollout [ours], or inside it after each trained step [Alg. 1]"
    )
    same_input: bool = Field(
        True, description="both candidates start from one x_t [paper]; false: Table 10, ranking only"
    )
    carry: Literal["winner", "random"] = Field(
        "winner", description="candidate to go on from [paper: winner; SPO: random]"
    )
    guidance: bool = Field(False, description="TailorPO-G: move the winner along the reward's gradient")
    delta: float = Field(0.5, gt=0, description="r_high = r + delta [paper, Table 1 only; inferred for training]")
    eta: float | tuple[float, float] = Field(
        (0.1, 0.2), description="guidance strength: a constant, or by cosine from t = T to t = 0 [paper]"
    )
    accept: Literal["always", "better"] = Field(
        "always", description="take the guided winner always [ours], or where its reward is higher [Alg. 1]"
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if not self.same_input and (self.guidance or self.carry == "random"):
            raise ValueError(
                "same_input=false continues both trajectories: it allows neither guidance nor carry=random"
            )
        return self


def eta_at(k: int, steps: int, eta: float | tuple[float, float]) -> float:
    """Returns eta_k = low + (high - low)/2 (1 + cos(pi k/T)): low at k = T, high at k = 0. The paper has no formula."""
    low, high = (eta, eta) if isinstance(eta, float) else eta
    return low + (high - low) / 2 * (1 + math.cos(math.pi * k / steps))


class TailorPO(Method[TailorPOConfig]):
    """DPO on two candidates of one step, ranked by the reward of their x̂0; the winner goes on."""

    name = "tailorpo"
    paper = "arXiv:2502.01667, Alg. 1"
    Config = TailorPOConfig

    @classmethod
    def needs(cls, cfg: TailorPOConfig) -> frozenset[Need]:
        """Returns the needs: a reference and a reward of x̂0; with guidance also the reward's gradient."""
        needs: frozenset[Need] = frozenset({"reference", "step_reward"})
        return needs | {"reward_gradient"} if cfg.guidance else needs

    @classmethod
    def images(cls, cfg: TailorPOConfig) -> int:
        """Returns 1, or 2 where the candidates are two trajectories."""
        return 1 if cfg.same_input else 2

    @classmethod
    def without_effect(cls, cfg: TailorPOConfig) -> dict[str, str]:
        """Returns ``beta`` where the clip keeps it without effect."""
        return beta_without_effect(cfg.beta, cfg.clip)

    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: TailorPOConfig, noise: Noise
    ) -> Iterator[tuple[StepPairs, Metrics]]:
        """Rolls out every sample once; yields one Batch for the rollout, or one for each trained step."""
        n, prompts, shared = len(samples), [s.prompt for s in samples], cfg.same_input
        cond, draws = policy.encode(prompts), NoiseSource(policy, noise, samples)
        ks, x_T, cond_2 = trained_steps(cfg.steps, policy.schedule), draws.start(), cond.repeat(2)
        pairs, pair_metrics = list[StepPairs](), list[Metrics]()

        def z_2(k: int) -> torch.Tensor:
            return torch.cat([draws.z(k, "0"), draws.z(k, "1")])

        walk = rollout(policy, cond, x_T, draws.z) if shared else rollout(policy, cond_2, torch.cat([x_T, x_T]), z_2)
        visit = next(walk)
        while visit.k > 0:
            if visit.k not in ks:
                visit = next(walk)
                continue
            k, x, step = visit.k, visit.x, visit.step
            candidates = (step.repeat(2) if shared else step).draw(z_2(k))
            r, ahead = look_ahead(policy, reward, candidates, k - 1, cond_2, prompts * 2)
            win, lose, weight = rank(r)
            x_w, x_l, r_w = candidates[win], candidates[lose], r[win]
            ahead_w, ahead_l = (ahead[win], ahead[lose]) if ahead else (None, None)
            metrics = {"reward_gap": (r_w - r[lose]).mean(), "ties": 1 - weight.mean()}

            if cfg.guidance:
                eta = eta_at(k, policy.schedule.steps, cfg.eta)
                x_plus = guide(policy, reward, x_w, k - 1, cond, prompts, eta, cfg.delta)
                metrics["guidance_per_sigma"] = ((x_plus - x_w) / step.std).square().mean().sqrt()
                if cfg.accept == "always":
                    x_w, ahead_w = x_plus, None
                else:
                    r_plus, ahead_plus = look_ahead(policy, reward, x_plus, k - 1, cond, prompts)
                    better = r_plus > r_w
                    x_w, ahead_w = select_rows(better, x_plus, x_w), select_rows(better, ahead_plus, ahead_w)
                    r_w, metrics["accepted"] = torch.maximum(r_plus, r_w), better.float().mean()

            step_k = torch.full((n,), k, device=x.device)
            x_parents = (x, x) if shared else (x[win], x[lose])
            pairs.append(StepPairs(*x_parents, x_w, x_l, step_k, cond, weight, shared_parent=shared))
            policy.cost.pairs += n
            pair_metrics.append(metrics if k > ks[-1] else metrics | {"reward": r_w.mean()})
            if cfg.update == "step":
                yield pairs.pop(), pair_metrics.pop()
                ahead = ahead_w = None  # the weights have changed, so the look-ahead is stale
            carried = (x_w, ahead_w) if shared else (candidates, ahead)
            if cfg.carry == "random":
                winner = draw_candidates(2, noise, samples, k, x.device).bool()
                carried = select_rows(winner, x_w, x_l), select_rows(winner, ahead_w, ahead_l)
            visit = walk.send(carried)
        if pairs:
            yield StepPairs.cat(pairs), mean_metrics(pair_metrics)

    def loss(self, policy: Policy, batch: StepPairs, cfg: TailorPOConfig, noise: Noise) -> tuple[torch.Tensor, Metrics]:
        """Returns the mean of -log sigmoid(beta (log rho(x_w|x) - log rho(x_l|x))), rho held within 1 ± clip."""
        return step_pair_loss(policy, batch, cfg.beta, cfg.clip, cfg.log_prob)
