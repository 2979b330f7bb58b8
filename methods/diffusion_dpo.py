"""Diffusion-DPO: DPO on the denoising errors of a preferred and a dispreferred image.

Wallace et al., "Diffusion Model Alignment Using Direct Preference Optimization", arXiv:2311.12908, eq. 14.

| option | source | settings |
|---|---|---|
| SDPO | Fu et al., arXiv:2511.03317, and its code | ``safeguard`` |
| DMPO | Li et al., arXiv:2507.07510, and SDPO's code | ``loss=dmpo``, ``alpha`` |
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from benchbench.api import (
    ImagePairs,
    Metrics,
    Need,
    Noise,
    OfflineMethod,
    PairsConfig,
    Policy,
    diffusion_dpo,
    dmpo,
    pair_logit,
    pair_metrics,
    predict_pairs,
)

from ._safeguard import guarded_errors


class DiffusionDPOConfig(PairsConfig):
    """Settings; the defaults are those of the released code's launchers (launchers/sd15.sh, sdxl.sh)."""

    beta: float = Field(5000.0, gt=0, description="beta_dpo [code]; paper: 2000 for SD 1.5, from memory")
    half: bool = Field(True, description="beta is halved [code]; false: diffusers' LoRA script for SD 1.5")
    error: Literal["mean", "sum"] = Field(
        "mean", description="mean over latent dimensions [code]; sum: the paper's norm"
    )
    eps: Literal["shared", "own"] = Field("shared", description="noise of a pair's images [code]; own: paper's formula")
    loss: Literal["dpo", "dmpo"] = Field(
        "dpo", description="dpo: -log sigmoid(z) [code]; dmpo: reverse KL from 1 - alpha [DMPO paper]"
    )
    alpha: float = Field(
        0.01, gt=0, lt=0.5, description="loss=dmpo: target probability of the loser [SDPO code, launchers of DMPO]"
    )
    safeguard: float | None = Field(
        None,
        ge=0,
        le=1,
        description="SDPO's mu: scale the loser's gradient so that the winner's error falls at least mu times as fast "
        "as without a loser [SDPO code: 0.9 for SD 1.5, 0.6 for SDXL]; null: none [code]",
    )

    @model_serializer(mode="wrap")
    def _without_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out options that are off, so that runs have the ids that they always had."""
        off = {"loss", "alpha"} if self.loss == "dpo" else set()
        off |= {"safeguard"} if self.safeguard is None else set()
        return {name: value for name, value in dump(self).items() if name not in off}


class DiffusionDPO(OfflineMethod[DiffusionDPOConfig]):
    """DPO on the denoising errors of a preferred and a dispreferred image.

    1. Noise both images of a pair with one tau and eps; 2. compute the errors of policy and reference; 3. raise the
    winner's gain over the loser's, as far as a safeguard, if there is one, lets the loser's error rise.
    """

    name = "diffusion-dpo"
    paper = "arXiv:2311.12908, eq. 14"
    Config = DiffusionDPOConfig

    @classmethod
    def needs(cls, cfg: DiffusionDPOConfig) -> frozenset[Need]:
        """Returns the need for a reference, the frozen base model."""
        return frozenset({"reference"})

    @classmethod
    def without_effect(cls, cfg: DiffusionDPOConfig) -> dict[str, str]:
        """Returns ``alpha`` where the loss is DPO's."""
        return {} if cfg.loss == "dmpo" else {"alpha": "method.loss is dpo, and only dmpo has an alpha"}

    @classmethod
    def loss_at_start(cls, cfg: DiffusionDPOConfig) -> float:
        """Returns the loss at z = 0: -log sigmoid(0), or KL(1/2 || 1 - alpha)."""
        return math.log(2) if cfg.loss == "dpo" else -math.log(2) - math.log(cfg.alpha * (1 - cfg.alpha)) / 2

    @classmethod
    def logit_scale(cls, cfg: DiffusionDPOConfig) -> float:
        """Returns beta, or half of it with ``half``. The factor of ``error=sum``, the dimensions, is not included."""
        return cfg.beta * (0.5 if cfg.half else 1.0)

    def loss(
        self, policy: Policy, batch: ImagePairs, cfg: DiffusionDPOConfig, noise: Noise
    ) -> tuple[torch.Tensor, Metrics]:
        """Returns the mean over pairs of -log sigmoid(z), or DMPO's loss; z = -beta/2 [(m_w - m_l) - (q_w - q_l)]."""
        predictions = predict_pairs(policy, batch, noise, shared=cfg.eps == "shared")
        m, guard = guarded_errors(predictions, cfg.safeguard)
        q = predictions.q
        scale = (0.5 if cfg.half else 1.0) * (batch.x_w[0].numel() if cfg.error == "sum" else 1)
        z = pair_logit(*m, *q, cfg.beta * scale)
        loss = diffusion_dpo(z) if cfg.loss == "dpo" else dmpo(z, cfg.alpha)
        return loss.mean(), {**pair_metrics(m, q), **guard}
