"""Diffusion-DPO: DPO on the denoising errors of a preferred and a dispreferred image.

Wallace et al., "Diffusion Model Alignment Using Direct Preference Optimization", arXiv:2311.12908, eq. 14.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field

from benchbench.api import (
    ImagePairs,
    Metrics,
    Need,
    Noise,
    OfflineMethod,
    PairsConfig,
    Policy,
    diffusion_dpo,
    pair_logit,
    pair_metrics,
    predict_pairs,
)


class DiffusionDPOConfig(PairsConfig):
    """Settings; the defaults are those of the released code's launchers (launchers/sd15.sh, sdxl.sh)."""

    beta: float = Field(5000.0, gt=0, description="beta_dpo [code]; paper: 2000 for SD 1.5, from memory")
    half: bool = Field(True, description="beta is halved [code]; false: diffusers' LoRA script for SD 1.5")
    error: Literal["mean", "sum"] = Field(
        "mean", description="mean over latent dimensions [code]; sum: the paper's norm"
    )
    eps: Literal["shared", "own"] = Field("shared", description="noise of a pair's images [code]; own: paper's formula")


class DiffusionDPO(OfflineMethod[DiffusionDPOConfig]):
    """DPO on the denoising errors of a preferred and a dispreferred image.

    1. Noise both images of a pair with one tau and eps; 2. compute the errors of policy and reference; 3. raise the
    winner's gain over the loser's.
    """

    name = "diffusion-dpo"
    paper = "arXiv:2311.12908, eq. 14"
    Config = DiffusionDPOConfig

    @classmethod
    def needs(cls, cfg: DiffusionDPOConfig) -> frozenset[Need]:
        """Returns the need for a reference, the frozen base model."""
        return frozenset({"reference"})

    @classmethod
    def loss_at_start(cls, cfg: DiffusionDPOConfig) -> float:
        """Returns -log sigmoid(0), the loss at margin 0."""
        return math.log(2)

    @classmethod
    def logit_scale(cls, cfg: DiffusionDPOConfig) -> float:
        """Returns beta, or half of it with ``half``. The factor of ``error=sum``, the dimensions, is not included."""
        return cfg.beta * (0.5 if cfg.half else 1.0)

    def loss(
        self, policy: Policy, batch: ImagePairs, cfg: DiffusionDPOConfig, noise: Noise
    ) -> tuple[torch.Tensor, Metrics]:
        """Returns the mean over pairs of -log sigmoid(-beta/2 [(m_w - m_l) - (q_w - q_l)])."""
        predictions = predict_pairs(policy, batch, noise, shared=cfg.eps == "shared")
        m, q = predictions.m, predictions.q
        scale = (0.5 if cfg.half else 1.0) * (batch.x_w[0].numel() if cfg.error == "sum" else 1)
        loss = diffusion_dpo(pair_logit(*m, *q, cfg.beta * scale)).mean()
        return loss, pair_metrics(m, q)
