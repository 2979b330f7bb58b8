"""The parts that policy gradients on denoising steps share: the rollout, the advantages' place, the clipped loss."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from pydantic import Field

from benchbench.api import (
    Method,
    MethodConfig,
    Metrics,
    Noise,
    NoiseSource,
    Policy,
    Precision,
    Sample,
    Step,
    StepReward,
    Transitions,
    ppo_clip,
    rollout,
)

from ._step_pairs import LogProb, log_prob_scale
from ._steps import Steps, minibatch_rows, trained_steps

COARSE_CLIP = 0.01
"""A clip from here on is coarser than half precision's rounding, which moves ratios of mean log-probs by up to .004."""


class PolicyGradientConfig(MethodConfig):
    """Settings of every policy gradient on denoising steps; the defaults are those of D3PO's own DDPO script."""

    steps: Steps = Field("all", description="trained steps: all [code], a number of them, or a list")
    timestep_fraction: float = Field(
        1.0, gt=0, le=1, description="share of the trained steps, drawn for each image [code: 1]"
    )
    clip: float | None = Field(1e-4, gt=0, description="PPO clip range on the ratio [code]; null: no clip")
    log_prob: LogProb = Field(
        "mean", description="mean over latent dimensions [code]; sum: paper (1e-4 is then far tighter)"
    )
    advantage_clip: float = Field(5.0, gt=0, description="largest |advantage| [code]; 10 in the authors' JAX code")
    inner_epochs: int = Field(1, ge=1, description="passes over one rollout [code]")
    minibatch: int = Field(1, ge=1, description="images per optimizer step, each with all trained steps [code]")


C = TypeVar("C", bound=PolicyGradientConfig)


class PolicyGradient(Method[C]):
    """Samples images, scores them, and raises the probability of each step by the advantage of its final image."""

    def __init__(self) -> None:
        self.recomputes: bool | None = None  # whether old log-probs are recomputed; decided at the first rollout

    @classmethod
    def precision(cls, cfg: C) -> Precision:
        """Returns fp32 where the clip is finer than half precision's rounding, as the released clip is."""
        if cfg.clip is None or (cfg.clip >= COARSE_CLIP and cfg.log_prob == "mean"):
            return super().precision(cfg)
        return Precision("fp32", f"half precision moves a log-ratio by more than the clip, {cfg.clip:g}")

    @abstractmethod
    def advantages(self, prompts: Sequence[str], rewards: Sequence[float], cfg: C) -> list[float]:
        """Returns the advantage of each image [N], before it is clipped."""

    def walk(
        self,
        policy: Policy,
        samples: Sequence[Sample],
        reward: StepReward,
        cfg: C,
        noise: Noise,
        starts: Sequence[Sample] | None = None,
    ) -> Iterator[tuple[Transitions, Metrics]]:
        """Rolls out the samples; yields one Batch for each minibatch of images.

        ``starts`` are the samples whose x_T is shared by as many images each as there are samples for one of them.
        """
        prompts = [s.prompt for s in samples]
        cond, draws = policy.encode(prompts), NoiseSource(policy, noise, samples)
        ks = trained_steps(cfg.steps, policy.schedule)

        if starts is None:
            x_T = draws.start()
        else:
            x_T = NoiseSource(policy, noise, starts).start().repeat_interleave(len(samples) // len(starts), 0)
        visits = list(rollout(policy, cond, x_T, draws.z))
        r = reward(visits[-1].x, prompts, "step 0")

        advantage = self.advantages(prompts, r.tolist(), cfg)
        A = torch.tensor(advantage, device=r.device).clamp(-cfg.advantage_clip, cfg.advantage_clip)

        steps = []
        for visit, after in itertools.pairwise(visits):
            if visit.k in ks:
                k = torch.full((len(samples),), visit.k, device=r.device)
                steps.append(Transitions(visit.x, after.x, k, cond, visit.step.log_prob(after.x), A))

        metrics = {"reward": r.mean(), "advantage_abs": A.abs().mean()}
        rollout_steps, size, share = Transitions.cat(steps), cfg.minibatch, cfg.timestep_fraction
        words = (noise, samples[0].number)
        epochs = [
            list(minibatch_rows(len(samples), len(steps), size, share, *words, epoch, device=r.device))
            for epoch in range(cfg.inner_epochs)
        ]
        if self.recomputes is None:
            first = rollout_steps[epochs[0][0]]
            self.recomputes = cfg.clip is not None and first_log_ratio(policy, first, cfg) > cfg.clip / 10
        old_log_probs = [self._old_log_prob(policy, rollout_steps, batches) for batches in epochs]  # before any update
        for batches, log_prob in zip(epochs, old_log_probs, strict=True):
            for rows in batches:
                yield replace(rollout_steps[rows], log_prob=log_prob[rows]), metrics

    def _old_log_prob(self, policy: Policy, steps: Transitions, batches: Sequence[torch.Tensor]) -> torch.Tensor:
        """Returns the old log-probs, float32 [rows]: the rollout's, or recomputed in the batch shapes of the updates.

        A GPU uses other kernels for another batch shape, and they round differently. Where that alone moves a ratio by
        more than a tenth of the clip, ratios would be noise; one more evaluation per step without gradient avoids it.
        """
        if not self.recomputes:
            return steps.log_prob
        log_prob = steps.log_prob.clone()
        for rows in batches:
            batch = steps[rows]
            log_prob[rows] = policy.log_probs(batch.x, batch.x_next, batch.k, batch.cond)
        return log_prob

    def loss(self, policy: Policy, batch: Transitions, cfg: C, noise: Noise) -> tuple[torch.Tensor, Metrics]:
        """Returns the mean over transitions of max(-A rho, -A clamp(rho, 1-c, 1+c))."""
        return self.clipped(policy.step(batch.x, batch.k, batch.cond), batch, cfg)

    def clipped(self, step: Step, batch: Transitions, cfg: C) -> tuple[torch.Tensor, Metrics]:
        """Returns the mean clipped loss of transitions under the policy's steps, and its metrics."""
        log_ratio = step.log_prob(batch.x_next) - batch.log_prob
        log_ratio = log_prob_scale(cfg.log_prob, batch.x) * log_ratio
        loss = ppo_clip(log_ratio, batch.advantage, cfg.clip).mean()
        size = log_ratio.detach()
        metrics = {"log_ratio_abs": size.abs().mean()}
        if cfg.clip is not None:
            metrics["clipped"] = (size.expm1().abs() > cfg.clip).float().mean()
        return loss, metrics

    def state(self) -> dict[str, Any]:
        """Returns whether old log-probs are recomputed."""
        return {"restates": self.recomputes}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what ``state`` returned."""
        self.recomputes = state["restates"]


def first_log_ratio(policy: Policy, rows: Transitions, cfg: PolicyGradientConfig) -> float:
    """Returns the largest |log ratio| of an update's rows before any update: the rounding of another batch shape."""
    with policy.uncounted():
        log_prob = policy.log_probs(rows.x, rows.x_next, rows.k, rows.cond)
    return log_prob_scale(cfg.log_prob, rows.x) * float((log_prob - rows.log_prob).abs().max())
