"""DSPO: score matching towards the data's score plus that of being preferred.

Zhu et al., "DSPO: Direct Score Preference Optimization for Diffusion Model Alignment", ICLR 2025, eq. 13.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field, ValidationInfo, field_validator

from benchbench.api import (
    ImagePairs,
    Metrics,
    Need,
    Noise,
    OfflineMethod,
    PairsConfig,
    Policy,
    dspo_energy,
    dspo_reference,
    dspo_score,
    pair_logit,
)

from ._denoising import predict_pairs, watch


class DSPOConfig(PairsConfig):
    """Defaults are those of the released code's launcher for SD 1.5."""

    form: Literal["sd15", "sdxl", "e", "ref"] = Field(
        "sd15",
        description="sd15: eq. 13 [code]; sdxl: eq. 47 with a switch to eq. 46 [code]; e: DSPO-E, eq. 45 [paper]; "
        "ref: DSPO-ref, as eq. 47 without the switch [ours: eq. 46 has no gradient at the reference]",
    )
    beta: float = Field(
        0.001, gt=0, validate_default=True, description="lambda [code, paper: 0.001]; sdxl, ref: 5000 [code]"
    )
    switch: float = Field(0.1, gt=0, description="sdxl: mean p² of a pair where eq. 46 takes over [code, of a batch]")

    @field_validator("beta")
    @classmethod
    def _fits_the_form(cls, value: float, info: ValidationInfo) -> float:
        form = info.data.get("form")
        if form in {"sd15", "e"} and value >= 1:
            raise ValueError(f"form {form} needs beta < 1: from 2 on it climbs the error that it should descend")
        if form in {"sdxl", "ref"} and value < 1:
            raise ValueError(f"form {form} needs beta >= 1, 1000 to 5000 in the released grid: below it learns nothing")
        return value


class DSPO(OfflineMethod):
    """Score matching towards the data's score plus that of being preferred.

    1. Noise both images of a pair alike; 2. errors of policy and reference; 3. fit the winner's noise, moved away from
    the reference's prediction by how little the pair is told apart yet.
    """

    name = "dspo"
    paper = "ICLR 2025, eq. 13"
    Config = DSPOConfig

    @classmethod
    def needs(cls, cfg: Any) -> frozenset[Need]:
        """The frozen base model as reference."""
        return frozenset({"reference"})

    @classmethod
    def loss_at_start(cls, cfg: Any) -> float | None:
        """(1 - sigmoid(0))² where the reference is fitted; elsewhere the winner's own error."""
        return 0.25 if cfg.form in {"sdxl", "ref"} else None

    @classmethod
    def logit_scale(cls, cfg: Any) -> float:
        """Half of beta, in every form."""
        return 0.5 * float(cfg.beta)

    def loss(self, policy: Policy, batch: ImagePairs, cfg: DSPOConfig, noise: Noise) -> tuple[torch.Tensor, Metrics]:
        """mean (d - beta (1 - sigmoid(z)) p)² on the winner, or the form that is asked for."""
        predictions = predict_pairs(policy, batch, noise, shared=True)
        m, q = predictions.m, predictions.q
        d, p = predictions.theta_w - predictions.eps_w, predictions.theta_w - predictions.ref_w
        z = pair_logit(*m, *q, 0.5 * cfg.beta)
        if cfg.form == "sd15":
            loss = dspo_score(d, p, z, cfg.beta)
        elif cfg.form == "e":
            loss = dspo_energy(d, p, cfg.beta)
        else:
            loss = dspo_reference(p, z, cfg.switch if cfg.form == "sdxl" else None)
        metrics = {**watch(m, q), "moved": p.detach().square().mean()}
        return loss.mean(), metrics
