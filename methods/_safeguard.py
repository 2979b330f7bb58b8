"""SDPO's safeguard, an option of the methods on pairs: the loser's gradient is scaled so that the winner is spared.

Fu et al., "Diffusion-SDPO: Safeguarded Direct Preference Optimization for Diffusion Models", arXiv:2511.03317.
"""

from __future__ import annotations

from torch import Tensor

from benchbench.api import Metrics, Predictions, loser_scale, scale_gradient


def guarded_errors(predictions: Predictions, mu: float | None) -> tuple[tuple[Tensor, Tensor], Metrics]:
    """Returns the policy's errors m_w, m_l, [N], and the metric ``loser_scale``, the mean factor on losers' gradients.

    The errors have their values in any case; with ``mu`` the gradient of m_l has the factor of its pair.
    """
    m_w, m_l = predictions.m
    if mu is None:
        return (m_w, m_l), {}
    d_w, d_l = predictions.theta_w - predictions.target_w, predictions.theta_l - predictions.target_l
    s = loser_scale(d_w, d_l, mu)
    return (m_w, scale_gradient(m_l, s)), {"loser_scale": s.mean()}
