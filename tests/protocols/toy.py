"""Policies whose networks are formulas, so that what a protocol should find is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from benchbench.api import Cond
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.diffusion_schedule import DiffusionSchedule
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.schedule import Schedule
from benchbench.noise import Noise, Sample
from benchbench.protocols.states import REALM, Probe

SHAPE = (1, 2, 2)
STEPS = 4
SAMPLES = [Sample(f"p{i}", 0, i) for i in range(6)]


def alphas() -> Tensor:
    """Four timesteps from a clean start (abar 1 - 1e-7) into noise."""
    return torch.tensor([1 - 1e-7, 0.9, 0.6, 0.3, 0.1], dtype=torch.float64)


def schedule() -> Schedule:
    """T = 4 with tau = 1, 2, 3, 4 and the clean sample at tau 0."""
    made = DiffusionSchedule(torch.linspace(0.99, 0.1, 8), STEPS, 1.0)  # any valid one; its tables are set below
    a, p = alphas()[1:], alphas()[:-1]
    sigma = ((1 - p) / (1 - a) * (1 - a / p)).sqrt()
    made.tau = torch.arange(STEPS + 1)
    made.alpha_bar = alphas().float()
    made.sigma = torch.cat([torch.zeros(1), sigma.float()])
    made.to_x0 = torch.cat([torch.ones(1), p.sqrt().float()])
    made.to_eps = torch.cat([torch.zeros(1), (1 - p - sigma**2).clamp(min=0).sqrt().float()])
    made.noise_scale, made.signal_scale = (1 - alphas()).sqrt().float(), alphas().sqrt().float()
    return made


class ToyPolicy(Policy):
    """Conditions on no text."""

    def encode(self, prompts: Sequence[str]) -> Cond:
        return Cond(torch.zeros(len(prompts), 1, 1), torch.zeros(1, 1, 1))


class Net(nn.Module):
    """eps(x, tau) as a formula of the parameters ``theta``."""

    dtype = torch.float32

    def __init__(self, theta: Tensor, eps: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.theta, self.formula = nn.Parameter(theta), eps

    def forward(self, x: Tensor, tau: Tensor, text: Tensor) -> Any:
        return SimpleNamespace(sample=self.formula(self.theta, x, tau))


def make(net: Net, batch_size: int = 64) -> ToyPolicy:
    """A policy without guidance over the network: its evaluations count as plain ones."""
    backbone: Any = SimpleNamespace(
        network=net, vae=None, latent_shape=SHAPE, device=torch.device("cpu"), batch_size=batch_size, dtype="fp32"
    )
    return ToyPolicy(backbone, schedule(), 1.0)


class Judge(StepReward):
    """A reward of the latents themselves, by a formula and without pictures."""

    def __init__(self, formula: Callable[[Tensor], Tensor], policy: Policy) -> None:
        reward: Any = SimpleNamespace(name="formula", differentiable=True, assume_unit_range=lambda: None)
        super().__init__(Decoder(policy.backbone), reward, policy)
        self.formula, self.calls = formula, 0

    def __call__(self, x0: Tensor, prompts: Sequence[str], where: str, tau: Tensor | None = None) -> Tensor:
        assert len(x0) == len(prompts)
        self.calls += len(x0)
        return self.formula(x0)


MEAN, SD = 0.7, 0.5


def gaussian(theta: Tensor, x: Tensor, tau: Tensor) -> Tensor:
    """The optimal eps for data N(MEAN, SD²): with a = abar, E[x0|x] = m + s² sqrt(a) (x - sqrt(a) m)/(s² a + 1 - a)."""
    a = alphas()[tau].view(-1, 1, 1, 1)
    x0 = MEAN + SD**2 * a.sqrt() / (SD**2 * a + 1 - a) * (x.double() - a.sqrt() * MEAN)
    return ((x.double() - a.sqrt() * x0) / (1 - a).sqrt()).float()


def probe(reward: Callable[[Tensor], Tensor], net: Net | None = None, batch_size: int = 64) -> Probe:
    """The linear-Gaussian model, or another network, judged by a formula."""
    policy = make(net or Net(torch.zeros(1), gaussian), batch_size)
    return Probe(policy, Judge(reward, policy), Noise(0, REALM))
