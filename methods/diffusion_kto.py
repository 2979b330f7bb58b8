"""Diffusion-KTO: single labelled images, valued against the batch's mean gain over the reference.

Li et al., "Aligning Diffusion Models by Optimizing Human Utility", arXiv:2404.04465.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field

from benchbench.api import (
    Images,
    Metrics,
    Need,
    Noise,
    OfflineMethod,
    PairsConfig,
    Policy,
    kto,
    mse,
    noised,
    predict_in_chunks,
)


class DiffusionKTOConfig(PairsConfig):
    """Settings; the defaults are those of the released code (train_kto_sd_v1.5.py, exps/example.sh)."""

    beta: float = Field(1000.0, gt=0, description="beta_dpo [code]; 5000 in the paper, from memory")
    positive_ratio: float = Field(
        0.8, ge=0, le=1, description="share of preferred images [example; code's default: .5]"
    )


@dataclass(frozen=True)
class Anchored(Images):
    """Images with the quantities that are computed once from their whole batch."""

    q: torch.Tensor  # [N] errors of the reference
    z0: torch.Tensor  # [N] reference point of the batch, equal in all rows


class DiffusionKTO(OfflineMethod[DiffusionKTOConfig]):
    """Single labelled images, valued against the batch's mean gain over the reference.

    1. Draw preferred and dispreferred images; 2. gain g = reference's error - policy's; 3. z0 = mean gain of the batch;
    4. raise g above z0 for preferred images and lower it for the others, with a sigmoid that saturates.
    """

    name = "diffusion-kto"
    paper = "arXiv:2404.04465"
    images_per_sample = 1
    Config = DiffusionKTOConfig

    @classmethod
    def needs(cls, cfg: DiffusionKTOConfig) -> frozenset[Need]:
        """Returns the need for a reference, the frozen base model."""
        return frozenset({"reference"})

    @classmethod
    def winners(cls, cfg: DiffusionKTOConfig) -> float:
        """Returns the share of preferred images, as in the released sampler."""
        return cfg.positive_ratio

    @classmethod
    def loss_at_start(cls, cfg: DiffusionKTOConfig) -> float:
        """Returns 1 - sigmoid(0), the loss where no image has a gain."""
        return 0.5

    @classmethod
    def logit_scale(cls, cfg: DiffusionKTOConfig) -> float:
        """Returns beta."""
        return cfg.beta

    def prepare(self, policy: Policy, batch: Images, cfg: DiffusionKTOConfig, noise: Noise) -> tuple[Anchored, Metrics]:
        """Returns the batch with z0 = max(0, mean g) and the reference's errors, which are fixed from here on."""
        x, tau, target = noised(policy, batch.x, batch.draw, noise)
        theta, ref = predict_in_chunks(policy, x, tau, batch.cond)
        q = mse(ref, target)
        z0 = (q - mse(theta, target)).mean().clamp(min=0)
        return Anchored(batch.x, batch.cond, batch.draw, batch.label, q, z0.expand(len(q))), {}

    def loss(
        self, policy: Policy, batch: Anchored, cfg: DiffusionKTOConfig, noise: Noise
    ) -> tuple[torch.Tensor, Metrics]:
        """Returns the mean over images of 1 - sigmoid(y beta (g - z0))."""
        x, tau, target = noised(policy, batch.x, batch.draw, noise)
        m = mse(policy.predict(x, tau, batch.cond), target)
        g = batch.q - m
        loss = kto(g, batch.z0, batch.label, cfg.beta).mean()
        gain = (batch.label * g).detach()
        means = {"margin": gain, "z0": batch.z0, "mse": m.detach(), "reference_mse": batch.q}
        metrics = {name: value.mean() for name, value in means.items()}
        return loss, {"implicit_accuracy": (gain > 0).float().mean(), **metrics}
