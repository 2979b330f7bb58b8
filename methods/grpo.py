"""GRPO: policy gradient on denoising steps, with advantages among several images of one prompt.

| form | source | settings |
|---|---|---|
| Flow-GRPO | arXiv:2505.05470, its code for SD 3.5 | ``kl``, a clip of 1e-4, own starts |
| DanceGRPO | arXiv:2505.07818, its code for SD 1.4 | ``shared_start``, no KL, a share of the steps |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from pydantic import Field

from benchbench.api import Metrics, Need, Noise, Policy, Sample, StepReward, Transitions

from ._advantage import group_advantages
from ._policy_gradient import PolicyGradient, PolicyGradientConfig
from ._step_pairs import log_prob_scale
from ._steps import Steps


class GRPOConfig(PolicyGradientConfig):
    """Settings; the defaults are those of Flow-GRPO's released code for SD 3.5 medium."""

    group: int = Field(24, ge=2, description="K, images of one prompt [Flow-GRPO code: 24; DanceGRPO: 12]")
    deviation: Literal["group", "batch"] = Field(
        "group", description="rewards are divided by their group's deviation [paper], or the rollout's [code, option]"
    )
    shared_start: bool = Field(False, description="a group starts from one x_T [DanceGRPO code]; false: Flow-GRPO")
    kl: float = Field(0.04, ge=0, description="weight of the KL from the reference policy [Flow-GRPO code]; 0: none")
    kl_std: Literal["step", "released"] = Field(
        "step", description="deviation in the KL: the step's; released: without its sqrt(-dt), for flow matching [code]"
    )
    steps: Steps = Field("all", description="trained steps that draw noise: all [code: all but the last], or fewer")
    clip: float | None = Field(1e-4, gt=0, description="PPO clip range on the ratio [Flow-GRPO code]; null: no clip")
    advantage_clip: float = Field(5.0, gt=0, description="largest |advantage| [code]")
    minibatch: int = Field(24, ge=1, description="images per optimizer step, each with all trained steps [ours]")


class GRPO(PolicyGradient[GRPOConfig]):
    """Policy gradient on every step, with advantages among K images of one prompt.

    1. Sample K images a prompt; 2. score them; 3. compare each with its group; 4. clipped policy gradient on every
    step, held near the reference by a KL.
    """

    name = "grpo"
    paper = "arXiv:2505.05470; arXiv:2505.07818"
    Config = GRPOConfig

    @classmethod
    def images(cls, cfg: GRPOConfig) -> int:
        """Returns K."""
        return cfg.group

    @classmethod
    def needs(cls, cfg: GRPOConfig) -> frozenset[Need]:
        """Returns the need for a reference, where there is a KL."""
        return frozenset({"reference"}) if cfg.kl else frozenset()

    @classmethod
    def refuses(cls, cfg: GRPOConfig, flow: bool) -> str | None:
        """Returns why the released deviation of the KL is for flow matching only."""
        if flow or not cfg.kl or cfg.kl_std == "step":
            return None
        return (
            "method.kl_std=released takes the square root of a step's length out of its deviation, and a DDIM step has "
            "no such length: leave it out, or use --set method.kl_std=step"
        )

    @classmethod
    def without_effect(cls, cfg: GRPOConfig) -> dict[str, str]:
        """Returns ``kl_std`` where there is no KL."""
        return {} if cfg.kl else {"kl_std": "method.kl is 0, so that the loss has no KL"}

    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: GRPOConfig, noise: Noise
    ) -> Iterator[tuple[Transitions, Metrics]]:
        """Rolls out K images of every sample's prompt; yields one Batch for each minibatch of images."""
        K = cfg.group
        images = [sample._replace(number=K * sample.number + i) for sample in samples for i in range(K)]
        # of one start: the images of a group are told apart by the noise of their steps alone
        yield from self.walk(policy, images, reward, cfg, noise, starts=samples if cfg.shared_start else None)

    def advantages(self, prompts: Sequence[str], rewards: Sequence[float], cfg: GRPOConfig) -> list[float]:
        """Returns (r - mean of its group) / deviation."""
        return group_advantages(rewards, cfg.group, own_deviation=cfg.deviation == "group")

    def loss(self, policy: Policy, batch: Transitions, cfg: GRPOConfig, noise: Noise) -> tuple[torch.Tensor, Metrics]:
        """Returns the mean over transitions of max(-A rho, -A clamp(rho, 1-c, 1+c)) + kl KL."""
        step = policy.step(batch.x, batch.k, batch.cond)
        loss, metrics = self.clipped(step, batch, cfg)
        if not cfg.kl:
            return loss, metrics
        reference = policy.reference_step(batch.x, batch.k, batch.cond)
        std = step.std if cfg.kl_std == "step" else step.std / _root_dt(policy, batch.k)
        squares = ((step.mean - reference.mean) / std).square().flatten(1).mean(1) / 2
        kl = log_prob_scale(cfg.log_prob, batch.x) * squares.mean()
        return loss + cfg.kl * kl, {**metrics, "kl": kl.detach()}


def _root_dt(policy: Policy, k: torch.Tensor) -> torch.Tensor:
    """Returns sqrt(sigma_k - sigma_{k-1}) of a flow-matching model, [N, 1, 1, 1]."""
    schedule = policy.schedule
    return (schedule.noise_scale[k] - schedule.noise_scale[k - 1]).sqrt().view(-1, 1, 1, 1)
