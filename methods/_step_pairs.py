"""The loss that D3PO, SPO and TailorPO share: DPO on a preferred and a dispreferred denoising step."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from benchbench.api import Metrics, Policy, StepPairs, pair_dpo

LogProb = Literal["mean", "sum"]
"""The reduction of a step's log-density over latent dimensions: ``mean`` as in released code, ``sum`` as in papers."""

STRAIGHT = 0.1
"""A logit whose loss counts as a straight line: up to it, the slope of log sigmoid changes by a twentieth of itself."""


def beta_without_effect(beta: float, clip: float | None) -> dict[str, str]:
    """Returns why ``beta`` changes no run, or nothing where it does: without a clip, or where beta is large.

    With a clip the logit is at most beta (log(1 + clip) - log(1 - clip)). Where that is small, the loss is a straight
    line in it, so that beta scales all gradients alike; AdamW and Adafactor remove such a factor.
    """
    if clip is None:
        return {}
    logit = beta * (math.log1p(clip) - math.log1p(-clip))
    if logit > STRAIGHT:
        return {}
    reason = (
        f"method.clip={clip:g} keeps the logit within {logit:.2g}, where the loss is a straight line (its slope "
        f"changes by at most {logit / 2:.1%}); beta then scales all gradients alike, and the optimizer removes that "
        "factor, as long as no gradient norm reaches train.grad_clip"
    )
    return {"beta": reason}


def log_prob_scale(log_prob: LogProb, latents: Tensor) -> int:
    """Returns the factor that turns a mean over latent dimensions into ``log_prob``: 1, or their number."""
    return latents[0].numel() if log_prob == "sum" else 1


def log_ratios(policy: Policy, pairs: StepPairs) -> tuple[Tensor, Tensor]:
    """Returns log pi_theta - log pi_ref of the winning and the losing step, [N] each, means over latent dimensions.

    It evaluates each policy on N samples where both steps of a pair start from one sample, otherwise on 2N.
    """
    if pairs.shared_parent:
        theta = policy.step(pairs.x_w, pairs.k, pairs.cond)
        ref = policy.reference_step(pairs.x_w, pairs.k, pairs.cond)
        return (
            theta.log_prob(pairs.next_w) - ref.log_prob(pairs.next_w),
            theta.log_prob(pairs.next_l) - ref.log_prob(pairs.next_l),
        )
    x, k, cond = torch.cat([pairs.x_w, pairs.x_l]), pairs.k.repeat(2), pairs.cond.repeat(2)
    x_next = torch.cat([pairs.next_w, pairs.next_l])
    ratio = policy.step(x, k, cond).log_prob(x_next) - policy.reference_step(x, k, cond).log_prob(x_next)
    ratio_w, ratio_l = ratio.chunk(2)
    return ratio_w, ratio_l


def step_pair_loss(
    policy: Policy, pairs: StepPairs, beta: float, clip: float | None, log_prob: LogProb = "mean"
) -> tuple[Tensor, Metrics]:
    """Returns the mean loss over the pairs, and metrics: implicit accuracy, margin and the share of clamped ratios."""
    scale = log_prob_scale(log_prob, pairs.next_w)
    ratio_w, ratio_l = (scale * ratio for ratio in log_ratios(policy, pairs))
    loss = pair_dpo(ratio_w, ratio_l, beta, clip, pairs.weight).mean()
    margin = (ratio_w - ratio_l).detach()
    metrics = {"implicit_accuracy": (margin > 0).float().mean(), "margin": margin.mean()}
    if clip is not None:
        rho = torch.cat([ratio_w, ratio_l]).detach().exp()
        metrics["clamped"] = ((rho < 1 - clip) | (rho > 1 + clip)).float().mean()
    return loss, metrics
