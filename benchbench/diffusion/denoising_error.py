"""The parts that offline methods share: noised images, predictions of policy and reference, and their errors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchbench.diffusion.policy import Policy
from benchbench.noise import Noise, Sample, copy_to_device
from benchbench.types import Cond, ImagePairs, Metrics


def noised(policy: Policy, x0: Tensor, draw: Tensor, noise: Noise, side: str = "") -> tuple[Tensor, Tensor, Tensor]:
    """Returns x_tau, tau and the network's target for clean latents x0; tau and eps are functions of (seed, draw).

    The target is eps for a model that predicts noise. Each ``side`` of a pair has an eps of its own. ``draw`` is int64
    [N] in host memory, because reading it from a GPU would wait for all pending work.
    """
    rows = [Sample("", number) for number in draw.tolist()]
    tau = copy_to_device(policy.schedule.draw_time(noise, rows), x0.device)
    eps = noise.normal(rows, "eps", side, shape=tuple(x0.shape[1:]), device=x0.device)
    return policy.schedule.add_noise(x0, eps, tau), tau, policy.schedule.target(x0, eps, tau)


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Returns the mean squared error over latent dimensions, [N]."""
    return (prediction - target).square().flatten(1).mean(1)


@dataclass(frozen=True)
class Predictions:
    """The targets of both noised images of N pairs and the predictions of them, [N, C, h, w] each.

    Without a reference, ``ref_w`` and ``ref_l`` are the policy's own predictions without gradient.
    """

    target_w: Tensor
    target_l: Tensor
    theta_w: Tensor
    theta_l: Tensor
    ref_w: Tensor
    ref_l: Tensor

    @property
    def m(self) -> tuple[Tensor, Tensor]:
        """The policy's errors m_w, m_l, [N]."""
        return mse(self.theta_w, self.target_w), mse(self.theta_l, self.target_l)

    @property
    def q(self) -> tuple[Tensor, Tensor]:
        """The reference's errors q_w, q_l, [N]."""
        return mse(self.ref_w, self.target_w), mse(self.ref_l, self.target_l)


def predict_pairs(policy: Policy, pairs: ImagePairs, noise: Noise, shared: bool, reference: bool = True) -> Predictions:
    """Returns the predictions for N pairs: one forward of the policy over 2N images, and one of the reference.

    Both images of a pair have one tau, and with ``shared`` one eps.
    """
    x_w, tau, target_w = noised(policy, pairs.x_w, pairs.draw, noise)
    x_l, _, target_l = noised(policy, pairs.x_l, pairs.draw, noise, "" if shared else "loser")
    x, tau, cond = torch.cat([x_w, x_l]), tau.repeat(2), pairs.cond.repeat(2)
    theta = policy.predict(x, tau, cond)
    ref = policy.reference_predict(x, tau, cond) if reference else theta.detach()
    return Predictions(target_w, target_l, *theta.chunk(2), *ref.chunk(2))


def pair_metrics(m: tuple[Tensor, Tensor], q: tuple[Tensor, Tensor]) -> Metrics:
    """Returns the metrics of a pair method with a reference: implicit accuracy, margin and errors, means over pairs."""
    (m_w, m_l), (q_w, q_l) = m, q
    margin = ((q_w - m_w) - (q_l - m_l)).detach()
    errors = {"mse_w": m_w, "mse_l": m_l, "reference_mse_w": q_w, "reference_mse_l": q_l}
    means = {name: value.detach().mean() for name, value in errors.items()}
    return {"implicit_accuracy": (margin > 0).float().mean(), "margin": margin.mean(), **means}


def predict_in_chunks(policy: Policy, x: Tensor, tau: Tensor, cond: Cond) -> tuple[Tensor, Tensor]:
    """Returns the predictions of policy and reference for a whole batch, in chunks of the model's own batch size.

    Call it without gradients.
    """
    size = policy.backbone.batch_size
    parts = [slice(i, i + size) for i in range(0, len(x), size)]
    theta = torch.cat([policy.predict(x[part], tau[part], cond[part]) for part in parts])
    return theta, torch.cat([policy.reference_predict(x[part], tau[part], cond[part]) for part in parts])
