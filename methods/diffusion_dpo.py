"""Diffusion-DPO: DPO on the denoising errors of a preferred and a dispreferred image.

Wallace et al., "Diffusion Model Alignment Using Direct Preference Optimization", arXiv:2311.12908, eq. 14.
"""

from __future__ import annotations

import math
from typing import Any, Literal

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
)

from ._denoising import predict_pairs, watch


class DiffusionDPOConfig(PairsConfig):
    """Defaults are those of the released code's launchers (launchers/sd15.sh, sdxl.sh)."""

    beta: float = Field(5000.0, gt=0, description="beta_dpo [code]; paper: 2000 for SD 1.5, from memory")
    half: bool = Field(True, description="beta is halved [code]; false: diffusers' LoRA script for SD 1.5")
    error: Literal["mean", "sum"] = Field("mean", description="over latent dimensions [code]; sum: the paper's norm")
    eps: Literal["shared", "own"] = Field("shared", description="noise of a pair's images [code]; own: paper's formula")


class DiffusionDPO(OfflineMethod):
    """DPO on the denoising errors of a preferred and a dispreferred image.

    1. Noise both images of a pair alike; 2. errors of policy and reference; 3. raise the winner's gain over
    the loser's.
    """

    name = "diffusion-dpo"
    paper = "arXiv:2311.12908, eq. 14"
    Config = DiffusionDPOConfig

    @classmethod
    def needs(cls, cfg: Any) -> frozenset[Need]:
        """The frozen base model as reference."""
        return frozenset({"reference"})

    @classmethod
    def loss_at_start(cls, cfg: Any) -> float:
        """Margin 0: -log sigmoid(0)."""
        return math.log(2)

    @classmethod
    def logit_scale(cls, cfg: Any) -> float:
        """beta, halved where the settings say so; of a summed error it is the dimensions of SD's latents times that."""
        return float(cfg.beta) * (0.5 if cfg.half else 1.0)

    def loss(
        self, policy: Policy, batch: ImagePairs, cfg: DiffusionDPOConfig, noise: Noise
    ) -> tuple[torch.Tensor, Metrics]:
        """-log sigmoid(-beta/2 [(m_w - m_l) - (q_w - q_l)]), mean over pairs."""
        predictions = predict_pairs(policy, batch, noise, shared=cfg.eps == "shared")
        m, q = predictions.m, predictions.q
        scale = (0.5 if cfg.half else 1.0) * (batch.x_w[0].numel() if cfg.error == "sum" else 1)
        loss = diffusion_dpo(pair_logit(*m, *q, cfg.beta * scale)).mean()
        return loss, watch(m, q)
