"""SPO: DPO on the best and the worst of k candidates of one denoising step, scored by a step-aware preference model.

Liang et al., "Step-aware Preference Optimization: Aligning Preference with Denoising Performance at Each Step",
arXiv:2406.04314. The rollout continues from a random candidate, so that a pair differs in its last step only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from benchbench.api import (
    Cond,
    Method,
    MethodConfig,
    Metrics,
    Need,
    Noise,
    NoiseSource,
    Policy,
    Sample,
    Schedule,
    StepPairs,
    StepReward,
    UsageError,
    Visit,
    look_ahead,
    rollout,
)

from ._candidates import draw_candidates, mean_metrics
from ._step_pairs import LogProb, beta_without_effect, step_pair_loss
from ._steps import noisy_steps


class SPOConfig(MethodConfig):
    """Settings; the defaults are those of the released code for SD 1.5."""

    candidates: int = Field(4, ge=2, description="k, candidates of a step [code, paper; Table 5 tries 2, 4, 8]")
    resample: Literal["random", "win", "lose", "none"] = Field(
        "random", description="candidate to go on from [code, paper]; none: k trajectories that never meet [Table 3]"
    )
    pair: Literal["extremes", "random"] = Field("extremes", description="best and worst [code], or any two [Table 8]")
    kappa: int = Field(
        750, ge=0, le=1000, description="largest timestep of a pair, counted from the grid's first [code, paper]"
    )
    threshold: float = Field(0.3, ge=0, lt=1, description="least P(best) - P(worst) of a pair [code; paper: none]")
    step_aware: bool = Field(True, description="the reward is told the timestep [code]; false: any reward on x̂0")
    beta: float = Field(10.0, gt=0, description="temperature of the preference [code, paper]")
    clip: float | None = Field(0.1, gt=0, lt=1, description="ratios are held within 1 ± clip [code]; null: paper, none")
    log_prob: LogProb = Field("mean", description="mean over latent dimensions [code]; sum: paper")
    inner_steps: int = Field(
        1, ge=1, description="steps that candidates take alone before they are scored [SDXL code: 4]"
    )
    minibatch: int = Field(10, ge=1, description="pairs per optimizer step [code]")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.inner_steps > 1 and self.resample == "none":
            raise ValueError("resample=none has no segments, since its candidates never meet: use inner_steps=1")
        return self


def least_gap(threshold: float) -> float:
    """Returns the score gap g where P(best) - P(worst) = tanh(g/2) = threshold: g = log((1+th)/(1-th))."""
    return math.log((1 + threshold) / (1 - threshold))


def paired_steps(kappa: int, schedule: Schedule) -> tuple[int, ...]:
    """Returns the steps at most kappa above the grid's first timestep. For T = 20, kappa 750: k = 16 (tau 751) to 1.

    Raises UsageError where no step is left.
    """
    tau = schedule.timesteps
    ks = tuple(k for k in noisy_steps(schedule) if tau[k] - tau[1] <= kappa)
    if not ks:
        raise UsageError(
            f"method.kappa={kappa} leaves no step to make pairs of",
            f"the last step that draws noise, {schedule.trainable[-1]}, is {tau[schedule.trainable[-1]] - tau[1]:.0f} "
            "timesteps above the grid's first",
            "set a larger one: --set method.kappa=750",
        )
    return ks


class SPO(Method[SPOConfig]):
    """DPO on the best and the worst of k candidates of a step, scored by a step-aware preference model.

    From step kappa on: 1. draw k candidates; 2. score their x̂0; 3. pair best and worst; 4. go on from a random one.
    """

    name = "spo"
    paper = "arXiv:2406.04314"
    default_reward = "step-aware"
    Config = SPOConfig

    @classmethod
    def needs(cls, cfg: SPOConfig) -> frozenset[Need]:
        """Returns the needs: a reference and a reward of x̂0, which takes the timestep with ``step_aware``."""
        needs: frozenset[Need] = frozenset({"reference", "step_reward"})
        return needs | {"step_scorer"} if cfg.step_aware else needs

    @classmethod
    def images(cls, cfg: SPOConfig) -> int:
        """Returns 1, or k where the candidates are separate trajectories."""
        return cfg.candidates if cfg.resample == "none" else 1

    @classmethod
    def without_effect(cls, cfg: SPOConfig) -> dict[str, str]:
        """Returns ``beta`` where the clip keeps it without effect."""
        return beta_without_effect(cfg.beta, cfg.clip)

    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: SPOConfig, noise: Noise
    ) -> Iterator[tuple[StepPairs, Metrics]]:
        """Rolls out every sample once; yields one Batch for each minibatch of valid pairs."""
        n, c, prompts = len(samples), cfg.candidates, [s.prompt for s in samples]
        cond, draws = policy.encode(prompts), NoiseSource(policy, noise, samples)
        ks, cond_all, separate, x_T = (
            paired_steps(cfg.kappa, policy.schedule),
            cond.repeat(c),
            cfg.resample == "none",
            draws.start(),
        )
        rows = torch.arange(n, device=x_T.device)
        pairs, metrics, segment = list[StepPairs](), list[Metrics](), list[tuple[Visit, Tensor]]()

        def z_all(k: int) -> Tensor:
            return torch.cat([draws.z(k, str(i)) for i in range(c)])

        # before kappa: one trajectory a sample, or k separate ones
        if separate:
            walk = rollout(policy, cond_all, x_T.repeat(c, 1, 1, 1), z_all)
        else:
            walk = rollout(policy, cond, x_T, draws.z)
        visit = next(walk)
        while visit.k > ks[0]:
            visit = next(walk)
        if not separate:  # from kappa on: k candidates a sample, [k N]; all k share the first step's prediction
            walk = rollout(policy, cond_all, visit.x.repeat(c, 1, 1, 1), z_all, visit.k, visit.step.repeat(c))
            visit = next(walk)
        while visit.k >= ks[-1]:  # a last step without noise, where there is one, makes no pair
            k, x_next = visit.k, visit.step.draw(z_all(visit.k))
            segment.append((visit, x_next))
            if len(segment) < cfg.inner_steps and k > ks[-1]:  # SDXL: each candidate takes further steps alone
                visit = walk.send((x_next, None))
                continue
            r, ahead = look_ahead(policy, reward, x_next, k - 1, cond_all, prompts * c)
            scores = r.view(c, n)
            best, worst = self._pair(scores, cfg, noise, samples, k)
            gap = scores[best, rows] - scores[worst, rows]
            weight = (gap > least_gap(cfg.threshold)).float()
            win, lose = best * n + rows, worst * n + rows
            pairs += _segment_pairs(segment, win, lose, cond, weight, shared=not separate)
            last = {"reward": r.mean()} if k == ks[-1] else {}
            metrics.append({"score_gap": gap.mean(), "valid": weight.mean()} | last)
            segment.clear()

            if separate:
                carried = torch.arange(c * n, device=r.device)
            else:
                drawn = draw_candidates(c, noise, samples, k, r.device) * n + rows
                carried = {"win": win, "lose": lose, "random": drawn}[cfg.resample].repeat(c)
            visit = walk.send((x_next[carried], ahead[carried] if ahead else None))

        all_pairs = StepPairs.cat(pairs)
        valid = all_pairs[all_pairs.weight.nonzero()[:, 0]]
        policy.cost.pairs += len(valid)
        order = torch.tensor(noise.permutation(len(valid), samples[0].number), device=x_T.device)
        for i in range(0, len(valid), cfg.minibatch):
            yield valid[order[i : i + cfg.minibatch]], mean_metrics(metrics)

    @staticmethod
    def _pair(scores: Tensor, cfg: SPOConfig, noise: Noise, samples: Sequence[Sample], k: int) -> tuple[Tensor, Tensor]:
        """Returns the numbers of the preferred and the dispreferred candidate, [N] each, from scores [k, N].

        The first of equal scores is taken.
        """
        if cfg.pair == "extremes":
            return scores.argmax(0), scores.argmin(0)
        c, rows = cfg.candidates, torch.arange(scores.shape[1], device=scores.device)
        a = draw_candidates(c, noise, samples, k, scores.device, "a")
        b = (a + 1 + draw_candidates(c - 1, noise, samples, k, scores.device, "b")) % c
        a_wins = scores[a, rows] >= scores[b, rows]
        return torch.where(a_wins, a, b), torch.where(a_wins, b, a)

    def loss(self, policy: Policy, batch: StepPairs, cfg: SPOConfig, noise: Noise) -> tuple[Tensor, Metrics]:
        """Returns the mean of -log sigmoid(beta (log rho_w - log rho_l)), rho held within 1 ± clip (paper eq. 4-5)."""
        return step_pair_loss(policy, batch, cfg.beta, cfg.clip, cfg.log_prob)


def _segment_pairs(
    segment: Sequence[tuple[Visit, Tensor]], win: Tensor, lose: Tensor, cond: Cond, weight: Tensor, shared: bool
) -> list[StepPairs]:
    """Returns the pairs of each step of a segment; with ``shared`` the first step has one parent for all candidates."""
    n, pairs = len(win), []
    for i, (parent, x_next) in enumerate(segment):
        one_parent = shared and i == 0
        x_w, x_l = (parent.x[:n],) * 2 if one_parent else (parent.x[win], parent.x[lose])
        k = torch.full((n,), parent.k, device=win.device)
        pairs.append(StepPairs(x_w, x_l, x_next[win], x_next[lose], k, cond, weight, one_parent))
    return pairs
