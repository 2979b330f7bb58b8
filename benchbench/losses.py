"""Every method's loss, as a pure function of tensors: it returns one value a row, and the caller takes the mean.

The losses on given images use these symbols:

| name here | symbol | meaning |
|---|---|---|
| ``m_w``, ``m_l`` | m | mean over latent dimensions of (eps_theta - eps)², of winner and loser, [N] |
| ``q_w``, ``q_l`` | q | the same of the reference policy |
| ``z`` | z | what the sigmoid of a pair is taken of |
| ``d`` | d | eps_theta - eps of the winner, [N, C, h, w] |
| ``p`` | p | eps_theta - eps_ref of the winner, [N, C, h, w] |
"""

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


def pair_logit(m_w: Tensor, m_l: Tensor, q_w: Tensor, q_l: Tensor, beta: float) -> Tensor:
    """z = -beta [(m_w - m_l) - (q_w - q_l)], [N]: positive where the policy has moved towards the winner.

    Diffusion-DPO (arXiv:2311.12908) eq. 14, whose released code has 0.5 beta_dpo for beta.
    """
    return -beta * ((m_w - m_l) - (q_w - q_l))


def diffusion_dpo(z: Tensor) -> Tensor:
    """-log sigmoid(z). Diffusion-DPO eq. 14."""
    return -F.logsigmoid(z)


def dspo_score(d: Tensor, p: Tensor, z: Tensor, beta: float) -> Tensor:
    """mean (d - beta (1 - sigmoid(z)) p)². DSPO eq. 13, as the released code has it for SD 1.5.

    The sigmoid carries a gradient: it is the only way in which the loser is learned from.
    """
    weight = beta * (1 - torch.sigmoid(z))
    return (d - weight.reshape(-1, 1, 1, 1) * p).square().flatten(1).mean(1)


def dspo_energy(d: Tensor, p: Tensor, beta: float) -> Tensor:
    """mean (d - beta p)². DSPO eq. 45 (DSPO-E), in which no loser occurs; beta is the paper's gamma lambda."""
    return (d - beta * p).square().flatten(1).mean(1)


def dspo_reference(p: Tensor, z: Tensor, switch: float | None) -> Tensor:
    """(1 - sigmoid(z))² (DSPO eq. 47), or where mean p² has reached ``switch``, mean ((1 - sigmoid(z)) p)² (eq. 46)."""
    weight = 1 - torch.sigmoid(z)
    if switch is None:
        return weight.square()
    far = p.square().flatten(1).mean(1)
    return torch.where(far < switch, weight.square(), weight.square() * far)


def kto(g: Tensor, z0: Tensor, label: Tensor, beta: float) -> Tensor:
    """1 - sigmoid(label beta (g - z0)), with g = q - m and label ±1, all [N]. Diffusion-KTO (arXiv:2404.04465), code.

    ``z0`` is the batch's reference point max(0, mean g), held fixed.
    """
    return 1 - torch.sigmoid(label * beta * (g - z0))


def phi(m: Tensor, s: float) -> Tensor:
    """s m / (exp(s m) - 1), which falls from 1 at m = 0 with slope -s/2; finite, as is its gradient, for m >= 0."""
    y = s * m
    small = y < 1e-3
    safe = torch.where(small, torch.ones_like(y), y)
    whole = safe * torch.exp(-safe) / -torch.expm1(-safe)  # e^-y on both sides: nothing overflows
    return torch.where(small, 1 - y / 2 + y.square() / 12, whole)


def mapo(m_w: Tensor, m_l: Tensor, beta: float, s: float, T: float) -> Tensor:
    """m_w - beta log sigmoid(T (phi(m_w) - phi(m_l))). MaPO (arXiv:2406.06424), released compute_loss."""
    return m_w - beta * F.logsigmoid(T * (phi(m_w, s) - phi(m_l, s)))
