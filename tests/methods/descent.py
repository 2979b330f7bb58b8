"""Checks that a step of gradient descent on a pair loss prefers the winner."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchbench.api import Metrics
from benchbench.diffusion.policy import Policy

Loss = Callable[[], tuple[torch.Tensor, Metrics]]


def descend(policy: Policy, loss: Loss, fall: float) -> None:
    """Asserts that a step of plain gradient descent lowers the loss by ``fall`` and raises the winner over the loser.

    To first order a step of size a lowers the loss by a |gradient|², so a is ``fall`` / |gradient|². ``fall`` has to be
    far above the rounding of the loss, which is 1e-7 for a temperature beta of 0.1 and 1e-4 for one of 5000, where
    errors of 1e-7 are multiplied by beta; and so small that the second-order term stays below 5 percent.
    """
    parameters = policy.parameters()
    before, first = loss()
    gradients = torch.autograd.grad(before, parameters)
    size = fall / sum(float(gradient.square().sum()) for gradient in gradients)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= size * gradient
        after, second = loss()
    assert float(before.detach() - after) == pytest.approx(fall, rel=0.05)
    assert float(second["margin"]) > float(first["margin"])
