"""MaPO: the winner's denoising loss with a margin over the loser's, without a reference.

Hong et al., "Margin-aware Preference Optimization for Aligning Diffusion Models without Reference", arXiv:2406.06424.
"""

from __future__ import annotations

import torch
from pydantic import Field

from benchbench.api import (
    Flip,
    ImagePairs,
    Metrics,
    Noise,
    OfflineMethod,
    PairsConfig,
    Policy,
    mapo,
    phi,
    predict_pairs,
)


class MaPOConfig(PairsConfig):
    """Settings; the defaults are those of the released code (mapo/utils.py and its README)."""

    caption_dropout: float = Field(0.0, ge=0, le=1, description="share of captions that become empty [code: none]")
    flip: Flip = Field("joint", description="mirror both images of a pair half the time [code], or each, or neither")
    beta: float = Field(0.1, gt=0, description="weight of the margin [code]")
    s: float = Field(0.5, gt=0, description="scale of the error inside phi [code]")
    T: float = Field(1000.0, gt=0, description="factor on the margin [code: training timesteps]")


class MaPO(OfflineMethod[MaPOConfig]):
    """The winner's denoising loss with a margin over the loser's, without a reference.

    1. Noise both images of a pair with one tau and eps; 2. compute the policy's errors; 3. the loss is the winner's
    error and a term for its margin over the loser.
    """

    name = "mapo"
    paper = "arXiv:2406.06424"
    Config = MaPOConfig

    @classmethod
    def logit_scale(cls, cfg: MaPOConfig) -> float:
        """Returns T s/2: phi has slope -s/2 at an error of 0, and is less steep beyond."""
        return cfg.T * cfg.s / 2

    def loss(self, policy: Policy, batch: ImagePairs, cfg: MaPOConfig, noise: Noise) -> tuple[torch.Tensor, Metrics]:
        """Returns the mean over pairs of m_w - beta log sigmoid(T (phi(m_w) - phi(m_l)))."""
        m_w, m_l = predict_pairs(policy, batch, noise, shared=True, reference=False).m
        loss = mapo(m_w, m_l, cfg.beta, cfg.s, cfg.T).mean()
        margin = (cfg.T * (phi(m_w, cfg.s) - phi(m_l, cfg.s))).detach()
        means = {"margin": margin.mean(), "mse_w": m_w.detach().mean(), "mse_l": m_l.detach().mean()}
        return loss, {"implicit_accuracy": (margin > 0).float().mean(), **means}
