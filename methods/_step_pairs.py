"""The loss that D3PO, SPO and TailorPO share: DPO on a preferred and a dispreferred denoising step."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from benchbench.api import Metrics, Policy, StepPairs, pair_dpo

LogProb = Literal["mean", "sum"]
"""Of a step's log-density over its latent dimensions: the released codes' mean, or the papers' sum."""


def dimensions(log_prob: LogProb, latents: Tensor) -> int:
    """What a mean over the latent dimensions is multiplied by: 1, or how many there are."""
    return latents[0].numel() if log_prob == "sum" else 1


def log_ratios(policy: Policy, pairs: StepPairs) -> tuple[Tensor, Tensor]:
    """log pi_theta - log pi_ref of the winning and the losing step, each [N], means over the latent dimensions.

    One forward of each policy where both steps leave one sample, otherwise one over the 2N parents.
    """
    if pairs.shared_parent:
        theta = policy.step(pairs.x_w, pairs.k, pairs.cond)
        ref = policy.reference_step(pairs.x_w, pairs.k, pairs.cond)
        return (
            theta.log_prob(pairs.next_w) - ref.log_prob(pairs.next_w),
            theta.log_prob(pairs.next_l) - ref.log_prob(pairs.next_l),
        )
    x, k, cond = torch.cat([pairs.x_w, pairs.x_l]), pairs.k.repeat(2), pairs.cond.repeat(2)
    taken = torch.cat([pairs.next_w, pairs.next_l])
    ratio = policy.step(x, k, cond).log_prob(taken) - policy.reference_step(x, k, cond).log_prob(taken)
    ratio_w, ratio_l = ratio.chunk(2)
    return ratio_w, ratio_l


def step_pair_loss(
    policy: Policy, pairs: StepPairs, beta: float, clip: float | None, log_prob: LogProb = "mean"
) -> tuple[Tensor, Metrics]:
    """The mean loss over the pairs, and what to watch: implicit accuracy, margin, share of clamped ratios."""
    scale = dimensions(log_prob, pairs.next_w)
    ratio_w, ratio_l = (scale * ratio for ratio in log_ratios(policy, pairs))
    loss = pair_dpo(ratio_w, ratio_l, beta, clip, pairs.weight).mean()
    margin = (ratio_w - ratio_l).detach()
    metrics = {"implicit_accuracy": (margin > 0).float().mean(), "margin": margin.mean()}
    if clip is not None:
        rho = torch.cat([ratio_w, ratio_l]).detach().exp()
        metrics["clamped"] = ((rho < 1 - clip) | (rho > 1 + clip)).float().mean()
    return loss, metrics
