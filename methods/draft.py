"""DRaFT-K: the gradient of the reward itself, through the last K denoising steps of each image.

| form | source | settings |
|---|---|---|
| DRaFT-K | Clark et al., arXiv:2309.17400, Algorithm 1; no released code | ``steps=K`` |
| AlignProp | Prabhudesai et al., arXiv:2310.03739, its code for SD 1.5 | ``steps=random`` |
| ReFL | Xu et al., arXiv:2304.05977 | ``steps=1``; it takes x̂0 of one of the last ten of 40 steps |

The reward is no part of the loss. By the chain rule dr(x_0)/dtheta = g^T dx_0/dtheta with g = dr/dx_0, so ``collect``
computes g at the finished latents, and ``loss`` is -<g, x_0>, where x_0 is reached again from x_K with gradient. Its
gradient is that of -r(x_0) as long as the weights are those of the rollout: a rollout has one optimizer step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field

from benchbench.api import (
    LastSteps,
    Method,
    MethodConfig,
    Metrics,
    Need,
    Noise,
    NoiseSource,
    Policy,
    Sample,
    StepReward,
    UsageError,
    reward_gradient,
    rollout,
    take_again,
)


class DRaFTConfig(MethodConfig):
    """Settings; the default is DRaFT-1."""

    steps: Annotated[int, Field(ge=1)] | Literal["random"] = Field(
        1, description="K, last steps with gradient [paper: DRaFT-1]; random: 1 to all, drawn for a rollout [AlignProp]"
    )


class DRaFT(Method[DRaFTConfig]):
    """Follows the gradient of the reward through the last K steps of its own images.

    1. Sample images; 2. differentiate the reward of each with respect to its latents; 3. take the last K steps again,
    with the same noise, and let the gradient flow through them into the weights.
    """

    name = "draft"
    paper = "arXiv:2309.17400, Alg. 1; arXiv:2310.03739"
    needs_noise = False
    Config = DRaFTConfig

    @classmethod
    def needs(cls, cfg: DRaFTConfig) -> frozenset[Need]:
        """Returns the need for a reward with a gradient."""
        return frozenset({"reward_gradient"})

    @classmethod
    def check_sampler(cls, cfg: DRaFTConfig, steps: int) -> None:
        """Raises UsageError for more last steps than the sampler takes."""
        if cfg.steps != "random" and cfg.steps > steps:
            raise UsageError(
                f"method.steps={cfg.steps} is more than the sampler has",
                f"the sampler takes {steps} steps",
                f"set at most {steps}, or --set method.steps=random",
            )

    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: DRaFTConfig, noise: Noise
    ) -> Iterator[tuple[LastSteps, Metrics]]:
        """Rolls out every sample; yields one Batch for the rollout."""
        prompts = [s.prompt for s in samples]
        cond, draws = policy.encode(prompts), NoiseSource(policy, noise, samples)
        T = policy.schedule.steps
        self.check_sampler(cfg, T)
        K = 1 + noise.integer(T, "last steps", samples[0].number) if cfg.steps == "random" else cfg.steps

        for visit in rollout(policy, cond, draws.start(), draws.z):
            if visit.k == K:
                x_K = visit.x
        x_0 = visit.x

        r, g = reward_gradient(reward, x_0, prompts)

        stochastic = policy.schedule.stochastic
        z = [draws.z(k) if stochastic[k] else torch.zeros_like(x_0) for k in range(1, K + 1)]
        sizes = g.flatten(1).norm(dim=1)
        metrics = {"reward": r.mean(), "reward_gradient": sizes.mean(), "last_steps": float(K)}
        yield LastSteps(x_K, torch.stack(z, 1), x_0, g, cond), metrics

    def loss(self, policy: Policy, batch: LastSteps, cfg: DRaFTConfig, noise: Noise) -> tuple[torch.Tensor, Metrics]:
        """Returns the mean over images of -<g, x_0>, whose gradient is that of the mean of -r(x_0)."""
        x_0 = take_again(policy, batch)
        loss = -(batch.gradient * x_0).flatten(1).sum(1).mean()
        gap = (x_0.detach() - batch.x0).square().flatten(1).mean(1).sqrt()
        return loss, {"walk_gap": gap.mean()}
