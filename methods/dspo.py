"""DSPO: score matching towards the score of the data plus the score of the preference.

Zhu et al., "DSPO: Direct Score Preference Optimization for Diffusion Model Alignment", ICLR 2025, eq. 13.
With ``safeguard`` as Fu et al. combine it with SDPO, arXiv:2511.03317, and its code.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field, SerializerFunctionWrapHandler, ValidationInfo, field_validator, model_serializer

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
    pair_metrics,
    predict_pairs,
)

from ._safeguard import guarded_errors


class DSPOConfig(PairsConfig):
    """Settings; the defaults are those of the released code's launcher for SD 1.5."""

    form: Literal["sd15", "sdxl", "e", "ref"] = Field(
        "sd15",
        description="sd15: eq. 13 [code]; sdxl: eq. 47 with a switch to eq. 46 [code]; e: DSPO-E, eq. 45 [paper]; "
        "ref: DSPO-ref, as eq. 47 without the switch [ours: eq. 46 has no gradient at the reference]",
    )
    beta: float = Field(
        0.001, gt=0, validate_default=True, description="lambda [code, paper: 0.001]; sdxl, ref: 5000 [code]"
    )
    switch: float = Field(0.1, gt=0, description="sdxl: mean p² of a pair where eq. 46 takes over [code, of a batch]")
    safeguard: float | None = Field(
        None,
        ge=0,
        le=1,
        description="SDPO's mu, as in diffusion-dpo [SDPO code: 0.2 for SD 1.5, 0.6 for SDXL]; null: none [code]",
    )

    @model_serializer(mode="wrap")
    def _without_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out ``safeguard`` where there is none, so that runs have the ids that they always had."""
        return {name: value for name, value in dump(self).items() if value is not None or name != "safeguard"}

    @field_validator("beta")
    @classmethod
    def _fits_the_form(cls, value: float, info: ValidationInfo) -> float:
        form = info.data.get("form")
        if form in {"sd15", "e"} and value >= 1:
            raise ValueError(
                f"form {form} needs beta < 1: from beta = 2 on, the loss would increase the winner's error"
            )
        if form in {"sdxl", "ref"} and value < 1:
            raise ValueError(
                f"form {form} needs beta >= 1 (the released grid is 1000 to 5000): below 1 it learns nothing"
            )
        return value


class DSPO(OfflineMethod[DSPOConfig]):
    """Score matching towards the score of the data plus the score of the preference.

    1. Noise both images of a pair with one tau and eps; 2. compute the errors of policy and reference; 3. fit the
    winner's noise, moved away from the reference's prediction; the less the policy separates the pair, the further.
    """

    name = "dspo"
    paper = "ICLR 2025, eq. 13"
    Config = DSPOConfig

    @classmethod
    def needs(cls, cfg: DSPOConfig) -> frozenset[Need]:
        """Returns the need for a reference, the frozen base model."""
        return frozenset({"reference"})

    @classmethod
    def without_effect(cls, cfg: DSPOConfig) -> dict[str, str]:
        """Returns ``safeguard`` in the form e."""
        return {"safeguard": "the loss of method.form=e has no loser"} if cfg.form == "e" else {}

    @classmethod
    def loss_at_start(cls, cfg: DSPOConfig) -> float | None:
        """Returns (1 - sigmoid(0))² for the forms sdxl and ref, None for the others, whose start is not fixed."""
        return 0.25 if cfg.form in {"sdxl", "ref"} else None

    @classmethod
    def logit_scale(cls, cfg: DSPOConfig) -> float:
        """Returns half of beta, in every form."""
        return 0.5 * cfg.beta

    def loss(self, policy: Policy, batch: ImagePairs, cfg: DSPOConfig, noise: Noise) -> tuple[torch.Tensor, Metrics]:
        """Returns the mean of (d - beta (1 - sigmoid(z)) p)² over winners, or of the loss that ``form`` names."""
        predictions = predict_pairs(policy, batch, noise, shared=True)
        m, guard = guarded_errors(predictions, cfg.safeguard)
        q = predictions.q
        d, p = predictions.theta_w - predictions.target_w, predictions.theta_w - predictions.ref_w
        z = pair_logit(*m, *q, 0.5 * cfg.beta)
        if cfg.form == "sd15":
            loss = dspo_score(d, p, z, cfg.beta)
        elif cfg.form == "e":
            loss = dspo_energy(d, p, cfg.beta)
        else:
            loss = dspo_reference(p, z, cfg.switch if cfg.form == "sdxl" else None)
        metrics = {**pair_metrics(m, q), **guard, "moved": p.detach().square().mean()}
        return loss.mean(), metrics
