"""AWM: the denoising loss on the policy's own images, each weighted by its advantage.

Xue et al., "Advantage Weighted Matching: Aligning RL with Pretraining in Diffusion Models", arXiv:2509.25050.

A denoising error m bounds -log p(x_0), so that a policy gradient needs no log-probability of a step: it lowers A m,
where A is the advantage of an image among those of its prompt. In place of m the paper has PPO's clipped ratio,
exp(old m - new m). This file has the plain form: each rollout has one optimizer step, at which the ratio is 1 and the
gradients of both are equal. A m has no lower bound where A < 0. What holds it: each step sees new images of the policy
itself, advantages are clipped and, before that, sum to 0 in a group, and there is a KL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from pydantic import Field

from benchbench.api import (
    Images,
    Method,
    MethodConfig,
    Metrics,
    Need,
    Noise,
    NoiseSource,
    Policy,
    Sample,
    StepReward,
    mse,
    noised,
    rollout,
)

from ._advantage import group_advantages


class AWMConfig(MethodConfig):
    """Settings; the defaults are those of the released code for SD 3.5 medium."""

    group: int = Field(24, ge=2, description="K, images of one prompt [code]")
    deviation: Literal["group", "batch"] = Field(
        "batch", description="rewards are divided by the rollout's deviation [code], or by their group's [option]"
    )
    advantage_clip: float = Field(1.0, gt=0, description="largest |advantage| [code]")
    times: int = Field(6, ge=1, description="times at which each image is noised, each with its own noise [code]")
    kl: float = Field(
        0.003, ge=0, description="weight of the squared distance from the reference's prediction [code]; 0: none"
    )


class AWM(Method[AWMConfig]):
    """The denoising loss on its own images, weighted by their advantages among K images of one prompt.

    1. Sample K images a prompt; 2. score them; 3. compare each with its group; 4. noise each at random times and lower
    or raise its denoising error by its advantage, held near the reference by a KL.
    """

    name = "awm"
    paper = "arXiv:2509.25050"
    needs_noise = False
    Config = AWMConfig

    @classmethod
    def images(cls, cfg: AWMConfig) -> int:
        """Returns K."""
        return cfg.group

    @classmethod
    def needs(cls, cfg: AWMConfig) -> frozenset[Need]:
        """Returns the need for a reference, where there is a KL."""
        return frozenset({"reference"}) if cfg.kl else frozenset()

    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: AWMConfig, noise: Noise
    ) -> Iterator[tuple[Images, Metrics]]:
        """Rolls out K images of every sample's prompt; yields one Batch for the rollout, each image ``times`` times."""
        K = cfg.group
        images = [sample._replace(number=K * sample.number + i) for sample in samples for i in range(K)]
        prompts = [image.prompt for image in images]
        cond, draws = policy.encode(prompts), NoiseSource(policy, noise, images)
        for visit in rollout(policy, cond, draws.start(), draws.z):
            x_0 = visit.x

        r = reward(x_0, prompts, "step 0")
        advantage = group_advantages(r.tolist(), K, own_deviation=cfg.deviation == "group")
        A = torch.tensor(advantage, device=r.device).clamp(-cfg.advantage_clip, cfg.advantage_clip)

        numbers = torch.tensor([image.number for image in images])
        draw = torch.cat([cfg.times * numbers + i for i in range(cfg.times)])  # names tau and eps: no two are equal
        rows = Images(x_0.repeat(cfg.times, 1, 1, 1), cond.repeat(cfg.times), draw, A.repeat(cfg.times))
        yield rows, {"reward": r.mean(), "advantage_abs": A.abs().mean()}

    def loss(self, policy: Policy, batch: Images, cfg: AWMConfig, noise: Noise) -> tuple[torch.Tensor, Metrics]:
        """Returns the mean over noised images of A m + kl (p - p_ref)², m being the error of the prediction p.

        m and the square are means over latent dimensions.
        """
        x, tau, target = noised(policy, batch.x, batch.draw, noise)
        p = policy.predict(x, tau, batch.cond)
        m = mse(p, target)
        loss = (batch.label * m).mean()
        metrics = {"mse": m.detach().mean()}
        if not cfg.kl:
            return loss, metrics
        kl = mse(p, policy.reference_predict(x, tau, batch.cond)).mean()
        return loss + cfg.kl * kl, {**metrics, "kl": kl.detach()}
