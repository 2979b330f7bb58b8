"""Diffusion-KTO: single images with a verdict, valued against the batch's mean gain over the reference.

Li et al., "Aligning Diffusion Models by Optimizing Human Utility", arXiv:2404.04465.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field

from benchbench.api import Images, Metrics, Need, Noise, OfflineMethod, PairsConfig, Policy, kto

from ._denoising import mse, noised, whole


class DiffusionKTOConfig(PairsConfig):
    """Defaults are those of the released code (train_kto_sd_v1.5.py, exps/example.sh)."""

    beta: float = Field(1000.0, gt=0, description="beta_dpo [code]; 5000 in the paper, from memory")
    positive_ratio: float = Field(
        0.8, ge=0, le=1, description="share of preferred images [example; code's default: .5]"
    )


@dataclass(frozen=True)
class Anchored(Images):
    """Images with what their whole batch had to be seen for."""

    q: torch.Tensor  # [N] error of the reference
    z0: torch.Tensor  # [N], the same in every row: the batch's reference point


class DiffusionKTO(OfflineMethod):
    """Single images with a verdict, valued against the batch's mean gain over the reference.

    1. Draw preferred and dispreferred images; 2. gain g = reference's error - policy's; 3. z0 = mean gain of the batch;
    4. raise g above z0 where preferred, lower it where not, saturating.
    """

    name = "diffusion-kto"
    paper = "arXiv:2404.04465"
    images_per_sample = 1
    Config = DiffusionKTOConfig

    @classmethod
    def needs(cls, cfg: Any) -> frozenset[Need]:
        """The frozen base model as reference."""
        return frozenset({"reference"})

    @classmethod
    def winners(cls, cfg: Any) -> float:
        """As drawn by the released sampler."""
        return float(cfg.positive_ratio)

    @classmethod
    def loss_at_start(cls, cfg: Any) -> float:
        """No gain anywhere: 1 - sigmoid(0)."""
        return 0.5

    @classmethod
    def logit_scale(cls, cfg: Any) -> float:
        """beta."""
        return float(cfg.beta)

    def prepare(self, policy: Policy, batch: Images, cfg: DiffusionKTOConfig, noise: Noise) -> tuple[Anchored, Metrics]:
        """z0 = max(0, mean g) over the batch, and the reference's errors, which do not change any more."""
        x, tau, eps = noised(policy, batch.x, batch.draw, noise)
        theta, ref = whole(policy, x, tau, batch.cond)
        q = mse(ref, eps)
        z0 = (q - mse(theta, eps)).mean().clamp(min=0)
        return Anchored(batch.x, batch.cond, batch.draw, batch.label, q, z0.expand(len(q))), {}

    def loss(
        self, policy: Policy, batch: Anchored, cfg: DiffusionKTOConfig, noise: Noise
    ) -> tuple[torch.Tensor, Metrics]:
        """1 - sigmoid(y beta (g - z0)), mean over images."""
        x, tau, eps = noised(policy, batch.x, batch.draw, noise)
        m = mse(policy.predict(x, tau, batch.cond), eps)
        g = batch.q - m
        loss = kto(g, batch.z0, batch.label, cfg.beta).mean()
        gain = (batch.label * g).detach()
        means = {"margin": gain, "z0": batch.z0, "mse": m.detach(), "reference_mse": batch.q}
        metrics = {name: value.mean() for name, value in means.items()}
        return loss, {"implicit_accuracy": (gain > 0).float().mean(), **metrics}
