"""The loss of every method, as a pure function of tensors. Each returns one value per row; the caller takes the mean.

The losses on given images use these symbols; prediction and target are of noise, v or velocity, as the model says:

| name here | symbol | meaning |
|---|---|---|
| ``m_w``, ``m_l`` | m | mean over latent dimensions of (prediction - target)² for winner and loser, [N] |
| ``q_w``, ``q_l`` | q | m with the prediction of the reference policy, [N] |
| ``z`` | z | logit of a pair, [N] |
| ``d`` | d | prediction - target of the winner, [N, C, h, w] |
| ``p`` | p | prediction - the reference's of the winner, [N, C, h, w] |
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def ppo_clip(log_ratio: Tensor, advantage: Tensor, clip: float | None) -> Tensor:
    """Returns max(-A rho, -A clamp(rho, 1-clip, 1+clip)), rho = exp(log_ratio), all [N]. DDPO (arXiv:2305.13301) eq. 4.

    Without ``clip`` it returns the importance-weighted policy gradient -A rho. A log-ratio that exp cannot hold counts
    as the largest one that it can, with the same gradient: an infinite rho would turn the gradient of a clipped row, 0,
    into NaN.
    """
    largest = math.log(torch.finfo(log_ratio.dtype).max) - 8  # 80.7 in float32: room for the advantage
    rho = (log_ratio - (log_ratio - largest).clamp(min=0).detach()).exp()
    if clip is None:
        return -advantage * rho
    return torch.maximum(-advantage * rho, -advantage * rho.clamp(1 - clip, 1 + clip))


def pair_dpo(log_ratio_w: Tensor, log_ratio_l: Tensor, beta: float, clip: float | None, weight: Tensor) -> Tensor:
    """Returns -log sigmoid(beta (clamp(log rho_w) - clamp(log rho_l))), [N]. D3PO eq. 12, SPO eq. 5, TailorPO eq. 5.

    ``log_ratio`` is log pi_theta - log pi_ref of the step taken. ``clip`` c keeps each ratio within [1-c, 1+c], as in
    the released code of D3PO and SPO but not in their papers. Clamping the log-ratio is equivalent and cannot overflow.
    ``weight`` 0 (a tie) gives log 2 and no gradient.
    """
    if clip is not None:
        low, high = math.log1p(-clip), math.log1p(clip)
        log_ratio_w, log_ratio_l = log_ratio_w.clamp(low, high), log_ratio_l.clamp(low, high)
    return -F.logsigmoid(beta * weight * (log_ratio_w - log_ratio_l))


def pair_logit(m_w: Tensor, m_l: Tensor, q_w: Tensor, q_l: Tensor, beta: float) -> Tensor:
    """Returns z = -beta [(m_w - m_l) - (q_w - q_l)], [N]: positive where the policy has moved towards the winner.

    Diffusion-DPO (arXiv:2311.12908) eq. 14; beta is 0.5 beta_dpo of the released code.
    """
    return -beta * ((m_w - m_l) - (q_w - q_l))


def diffusion_dpo(z: Tensor) -> Tensor:
    """Returns -log sigmoid(z), [N]. Diffusion-DPO eq. 14."""
    return -F.logsigmoid(z)


def dmpo(z: Tensor, alpha: float) -> Tensor:
    """Returns KL(Bernoulli(sigmoid(z)) || Bernoulli(1 - alpha)), [N]. DMPO (arXiv:2507.07510).

    Its slope sigmoid(z) sigmoid(-z) (z - log((1 - alpha)/alpha)) ends at the margin that makes the winner preferred
    with probability 1 - alpha; beyond it the loss rises again.
    """
    won = torch.sigmoid(z) * (F.logsigmoid(z) - math.log1p(-alpha))
    return won + torch.sigmoid(-z) * (F.logsigmoid(-z) - math.log(alpha))


def loser_scale(d_w: Tensor, d_l: Tensor, mu: float) -> Tensor:
    """Returns the factor s in [0, 1] on a loser's gradient that spares the winner, [N], without gradient.

    SDPO (arXiv:2511.03317), in the space of predictions; d is prediction less target of winner and loser, [N, C, h, w].

    1. d is the direction of its error's gradient; a step that lowers m_w and raises m_l moves along -d_w + s d_l.
    2. To first order m_w then changes by -|d_w|² + s d_l.d_w. This is to be at most -mu |d_w|².
    3. So s <= (1 - mu) |d_w|² / d_l.d_w where d_l.d_w > 0; elsewhere the loser's part does no harm, and s = 1.
    """
    d_w, d_l = d_w.detach().flatten(1), d_l.detach().flatten(1)
    own, shared = d_w.square().sum(1), (d_w * d_l).sum(1)
    return torch.where(shared > 0, ((1 - mu) * own / shared).clamp(max=1), torch.ones_like(own))


def scale_gradient(x: Tensor, s: Tensor) -> Tensor:
    """Returns x to the bit, with s times its gradient; both [N]."""
    return x.detach() + s * (x - x.detach())


def dspo_score(d: Tensor, p: Tensor, z: Tensor, beta: float) -> Tensor:
    """Returns mean (d - beta (1 - sigmoid(z)) p)², [N]. DSPO eq. 13, as the released code has it for SD 1.5.

    The sigmoid carries a gradient; the loser enters the loss through it alone.
    """
    weight = beta * (1 - torch.sigmoid(z))
    return (d - weight.reshape(-1, 1, 1, 1) * p).square().flatten(1).mean(1)


def dspo_energy(d: Tensor, p: Tensor, beta: float) -> Tensor:
    """Returns mean (d - beta p)², [N]. DSPO eq. 45 (DSPO-E), without a loser; beta is the paper's gamma lambda."""
    return (d - beta * p).square().flatten(1).mean(1)


def dspo_reference(p: Tensor, z: Tensor, switch: float | None) -> Tensor:
    """Returns (1 - sigmoid(z))² (DSPO eq. 47), or mean ((1 - sigmoid(z)) p)² (eq. 46) if mean p² >= ``switch``; [N]."""
    weight = 1 - torch.sigmoid(z)
    if switch is None:
        return weight.square()
    distance = p.square().flatten(1).mean(1)
    return torch.where(distance < switch, weight.square(), weight.square() * distance)


def kto(g: Tensor, z0: Tensor, label: Tensor, beta: float) -> Tensor:
    """Returns 1 - sigmoid(label beta (g - z0)), g = q - m, label ±1, [N]. Diffusion-KTO (arXiv:2404.04465), code.

    ``z0`` is the reference point of the batch, max(0, mean g), without gradient.
    """
    return 1 - torch.sigmoid(label * beta * (g - z0))


def phi(m: Tensor, s: float) -> Tensor:
    """Returns s m / (exp(s m) - 1), which is 1 at m = 0 with slope -s/2; value and gradient are finite for m >= 0."""
    y = s * m
    small = y < 1e-3
    safe = torch.where(small, torch.ones_like(y), y)
    quotient = safe * torch.exp(-safe) / -torch.expm1(-safe)  # multiplied by e^-y above and below: nothing overflows
    return torch.where(small, 1 - y / 2 + y.square() / 12, quotient)


def mapo(m_w: Tensor, m_l: Tensor, beta: float, s: float, T: float) -> Tensor:
    """Returns m_w - beta log sigmoid(T (phi(m_w) - phi(m_l))), [N]. MaPO (arXiv:2406.06424), released compute_loss."""
    return m_w - beta * F.logsigmoid(T * (phi(m_w, s) - phi(m_l, s)))
