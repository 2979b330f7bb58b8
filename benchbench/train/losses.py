"""The losses, as pure functions on tensors: one value a row, the mean is the loop's."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def ppo_clip(log_ratio: Tensor, advantage: Tensor, clip: float | None) -> Tensor:
    """max(-A rho, -A clamp(rho, 1-clip, 1+clip)) with rho = exp(log_ratio); all [N]. DDPO (arXiv:2305.13301) eq. 4.

    Without ``clip`` the importance-weighted policy gradient -A rho itself.
    """
    rho = log_ratio.exp()
    if clip is None:
        return -advantage * rho
    return torch.maximum(-advantage * rho, -advantage * rho.clamp(1 - clip, 1 + clip))


def pair_dpo(log_ratio_w: Tensor, log_ratio_l: Tensor, beta: float, clip: float | None, weight: Tensor) -> Tensor:
    """-log sigmoid(beta (clamp(log rho_w) - clamp(log rho_l))), all [N]. D3PO eq. 12, SPO eq. 5, TailorPO eq. 5.

    ``log_ratio`` is log pi_theta - log pi_ref of the step taken. ``clip`` c holds each ratio within [1-c, 1+c], as the
    released code of D3PO and SPO does and their papers do not. The log-ratio is clamped, which is the same and does not
    overflow. ``weight`` 0 (a tie) gives log 2 and no gradient.
    """
    if clip is not None:
        low, high = math.log1p(-clip), math.log1p(clip)
        log_ratio_w, log_ratio_l = log_ratio_w.clamp(low, high), log_ratio_l.clamp(low, high)
    return -F.logsigmoid(beta * weight * (log_ratio_w - log_ratio_l))
