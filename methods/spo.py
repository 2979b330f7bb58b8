"""SPO: DPO on the best and the worst of k candidates of one denoising step, judged by a step-aware preference model.

Liang et al., "Step-aware Preference Optimization: Aligning Preference with Denoising Performance at Each Step",
arXiv:2406.04314. A random candidate carries on, so that a pair differs in its last step only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from benchbench.api import (
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
    Visit,
    look_ahead,
    rollout,
)

from ._candidates import any_of, means
from ._step_pairs import LogProb, step_pair_loss


class SPOConfig(MethodConfig):
    """Defaults are those of the released code for SD 1.5."""

    candidates: int = Field(4, ge=2, description="k, candidates of a step [code, paper; Table 5 tries 2, 4, 8]")
    resample: Literal["random", "win", "lose", "none"] = Field(
        "random", description="who carries on [code, paper]; none: k trajectories that never meet [Table 3]"
    )
    pair: Literal["extremes", "random"] = Field("extremes", description="best and worst [code], or any two [Table 8]")
    kappa: int = Field(
        750, ge=0, le=1000, description="largest timestep, from the grid's first, of a pair [code, paper]"
    )
    threshold: float = Field(0.3, ge=0, lt=1, description="least P(best) - P(worst) of a pair [code; paper: none]")
    step_aware: bool = Field(True, description="the reward is told the timestep [code]; false: any reward on x̂0")
    beta: float = Field(10.0, gt=0, description="temperature of the preference [code, paper]")
    clip: float | None = Field(0.1, gt=0, lt=1, description="ratios are held within 1 ± clip [code]; null: paper, none")
    log_prob: LogProb = Field("mean", description="over latent dimensions [code]; sum: paper")
    inner_steps: int = Field(
        1, ge=1, description="steps that candidates go alone before they are judged [SDXL code: 4]"
    )
    minibatch: int = Field(10, ge=1, description="pairs an optimiser step [code]")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.inner_steps > 1 and self.resample == "none":
            raise ValueError("resample=none has no segments: its candidates always go alone; use inner_steps=1")
        return self


def least_gap(threshold: float) -> float:
    """The score gap g with P(best) - P(worst) = tanh(g/2) = threshold: g = log((1+th)/(1-th))."""
    return math.log((1 + threshold) / (1 - threshold))


def paired_steps(kappa: int, schedule: Schedule) -> tuple[int, ...]:
    """Steps whose timestep is at most kappa above the grid's first: of 20 and 750, k = 16 (timestep 751) to 1."""
    tau = schedule.timesteps
    return tuple(k for k in range(schedule.steps, 0, -1) if tau[k] - tau[1] <= kappa)


class SPO(Method):
    """DPO on the best and worst of k candidates of a step, by a step-aware judge; a random one carries on.

    From step kappa on: draw k candidates, judge their x̂0, pair best and worst, go on from a random one.
    """

    name = "spo"
    paper = "arXiv:2406.04314"
    default_reward = "spm"
    Config = SPOConfig

    @classmethod
    def needs(cls, cfg: SPOConfig) -> frozenset[Need]:
        """The reference and a reward of x̂0, which knows the timestep unless the settings say otherwise."""
        always: frozenset[Need] = frozenset({"reference", "step_reward"})
        return always | {"step_scorer"} if cfg.step_aware else always

    @classmethod
    def images(cls, cfg: SPOConfig) -> int:
        """One, or k where the candidates are trajectories of their own."""
        return cfg.candidates if cfg.resample == "none" else 1

    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: SPOConfig, noise: Noise
    ) -> Iterator[tuple[StepPairs, Metrics]]:
        """Walks every sample once; yields one Batch for each minibatch of valid pairs."""
        n, c, prompts = len(samples), cfg.candidates, [s.prompt for s in samples]
        cond, draws, ks = (
            policy.encode(prompts),
            NoiseSource(policy, noise, samples),
            paired_steps(cfg.kappa, policy.schedule),
        )
        many, apart, x_T = cond.repeat(c), cfg.resample == "none", draws.start()
        rows = torch.arange(n, device=x_T.device)
        pairs, seen, segment = list[StepPairs](), list[Metrics](), list[tuple[Visit, Tensor]]()

        def each(k: int) -> Tensor:
            return torch.cat([draws.z(k, str(i)) for i in range(c)])

        # up to kappa one plain walk a sample, or k walks that never meet
        walk = rollout(policy, many, x_T.repeat(c, 1, 1, 1), each) if apart else rollout(policy, cond, x_T, draws.z)
        visit = next(walk)
        while visit.k > ks[0]:
            visit = next(walk)
        if not apart:  # from here k candidates a sample, [k N], whose first step is one and the same
            walk = rollout(policy, many, visit.x.repeat(c, 1, 1, 1), each, visit.k, visit.step.repeat(c))
            visit = next(walk)
        while visit.k > 0:
            k, drawn = visit.k, visit.step.draw(each(visit.k))
            segment.append((visit, drawn))
            if len(segment) < cfg.inner_steps and k > 1:  # SDXL: each candidate goes on alone
                visit = walk.send((drawn, None))
                continue
            r, ahead = look_ahead(policy, reward, drawn, k - 1, many, prompts * c)
            scores = r.view(c, n)
            best, worst = self._pair(scores, cfg, noise, samples, k)
            gap = scores[best, rows] - scores[worst, rows]
            weight = (gap > least_gap(cfg.threshold)).float()
            win, lose = best * n + rows, worst * n + rows
            for i, (at, child) in enumerate(segment):
                shared = i == 0 and not apart
                x_w, x_l = (at.x[:n],) * 2 if shared else (at.x[win], at.x[lose])
                which = torch.full((n,), at.k, device=r.device)
                pairs.append(StepPairs(x_w, x_l, child[win], child[lose], which, cond, weight, shared))
            seen.append({"score_gap": gap.mean(), "valid": weight.mean()} | ({"reward": r.mean()} if k == 1 else {}))
            segment.clear()

            if apart:
                on = torch.arange(c * n, device=r.device)
            else:
                on = {"win": win, "lose": lose, "random": any_of(c, noise, samples, k, r.device) * n + rows}[
                    cfg.resample
                ]
                on = on.repeat(c)
            visit = walk.send((drawn[on], ahead[on] if ahead else None))

        whole = StepPairs.cat(pairs)
        valid = whole[whole.weight.nonzero()[:, 0]]
        policy.cost.pairs += len(valid)
        order = torch.tensor(noise.permutation(len(valid), samples[0].number), device=x_T.device)
        for i in range(0, len(valid), cfg.minibatch):
            yield valid[order[i : i + cfg.minibatch]], means(seen)

    @staticmethod
    def _pair(scores: Tensor, cfg: SPOConfig, noise: Noise, samples: Sequence[Sample], k: int) -> tuple[Tensor, Tensor]:
        """Numbers of the preferred and the dispreferred candidate [N] of scores [k, N]; of equal ones the first."""
        if cfg.pair == "extremes":
            return scores.argmax(0), scores.argmin(0)
        c, rows = cfg.candidates, torch.arange(scores.shape[1], device=scores.device)
        a = any_of(c, noise, samples, k, scores.device, "a")
        b = (a + 1 + any_of(c - 1, noise, samples, k, scores.device, "b")) % c
        first = scores[a, rows] >= scores[b, rows]
        return torch.where(first, a, b), torch.where(first, b, a)

    def loss(self, policy: Policy, batch: StepPairs, cfg: SPOConfig, noise: Noise) -> tuple[Tensor, Metrics]:
        """-log sigmoid(beta (log rho(x_w|x) - log rho(x_l|x))), rho held within 1 ± clip (paper eq. 4-5)."""
        return step_pair_loss(policy, batch, cfg.beta, cfg.clip, cfg.log_prob)
