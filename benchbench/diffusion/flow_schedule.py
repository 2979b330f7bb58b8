"""The steps of a flow-matching model: x = (1 - sigma) x_0 + sigma e, and the network predicts v = e - x_0.

With s = sigma_k, n = sigma_{k-1} and dt = n - s < 0, all dynamics are mean = (1 - n) x̂0 + to_eps e:

| dynamics | std | to_eps | source |
|---|---|---|---|
| flow-sde | g sqrt(-dt), g² = a² s/(1-s) | n + g² dt/(2s) | Flow-GRPO (arXiv:2505.05470) |
| dance-sde | a sqrt(-dt) | n + a² dt/(2s) | DanceGRPO (arXiv:2505.07818) |
| cps | n sin(a pi/2) | n cos(a pi/2) | FlowCPS (arXiv:2509.05952) |
| ode | 0 | n | Euler's step x + v dt |

a is the noise level. At s = 1, g² has the grid's second value in its denominator. The last step (n = 0) is
deterministic in every dynamics; released code draws it with noise and leaves it out of the training.

Grids of N steps, in float64: ``diffusers`` is that of diffusers' FlowMatchEulerDiscreteScheduler called with a number
of steps, linspace(1, shift(1/1000), N) shifted (once more); ``plain`` is linspace(1, 1/N, N) shifted once. Both end at
0, and shift(s) = m s/(1 + (m-1) s). The time that the network is told is tau = 1000 sigma, a float.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from benchbench.diffusion.schedule import Index, Schedule
from benchbench.errors import UsageError
from benchbench.noise import Noise, Sample

TRAIN_STEPS = 1000
SCHEDULER = "FlowMatchEulerDiscreteScheduler"


def shifted(sigma: Tensor, shift: float) -> Tensor:
    """Returns m s/(1 + (m-1) s), which for m > 1 moves times towards noise."""
    return shift * sigma / (1 + (shift - 1) * sigma)


def sigma_grid(steps: int, grid: str, shift: float) -> Tensor:
    """Returns sigma_T .. sigma_0, float64 [T+1], from 1 to 0."""
    if grid == "plain":
        sigma = shifted(torch.linspace(1, 1 / steps, steps, dtype=torch.float64), shift)
    else:
        least = float(shifted(torch.tensor(1 / TRAIN_STEPS, dtype=torch.float64), shift))
        sigma = shifted(torch.linspace(1, least, steps, dtype=torch.float64), shift)
    sigma[0] = 1  # of which rounding in the shift may leave less
    return torch.cat([sigma, torch.zeros(1, dtype=torch.float64)])


class FlowSchedule(Schedule):
    """T steps of one dynamics on one grid; ``noise_level`` is the table's a."""

    predicts = ("velocity",)
    prediction = "velocity"
    train_steps = TRAIN_STEPS

    def __init__(
        self,
        steps: int,
        dynamics: str = "flow-sde",
        noise_level: float = 0.7,
        grid: str = "diffusers",
        shift: float = 1.0,
        draw_time: str = "uniform",
    ) -> None:
        s_by_k = sigma_grid(steps, grid, shift).flip(0)  # sigma_0 = 0 .. sigma_T = 1
        s, n = s_by_k[1:], s_by_k[:-1]
        dt = n - s
        if dynamics == "cps":
            std, to_eps = n * math.sin(noise_level * math.pi / 2), n * math.cos(noise_level * math.pi / 2)
        else:
            g2 = torch.zeros_like(s)
            if dynamics == "dance-sde":
                g2 = torch.full_like(s, noise_level**2)
            elif dynamics == "flow-sde":
                g2 = noise_level**2 * s / (1 - torch.where(s < 1, s, s_by_k[-2]))
            std, to_eps = (g2 * -dt).sqrt(), n + g2 * dt / (2 * s)
        last = n == 0
        std, to_eps = torch.where(last, 0.0, std), torch.where(last, 0.0, to_eps)
        self.steps, self.shift, self.dynamics, self.time = steps, shift, dynamics, draw_time
        tau = TRAIN_STEPS * s_by_k
        self.timesteps = tuple(tau.tolist())
        self.stochastic = (False, *(std.float() > 0).tolist())
        zero = torch.zeros(1)
        self.tau = tau.float()
        self.sigma = torch.cat([zero, std.float()])
        self.to_x0 = torch.cat([zero + 1, (1 - n).float()])
        self.to_eps = torch.cat([zero, to_eps.float()])
        self.noise_scale, self.signal_scale = s_by_k.float(), (1 - s_by_k).float()

    @classmethod
    def from_config(cls, config: Mapping[str, Any], steps: int, shift: float | None = None, **how: Any) -> FlowSchedule:
        """Returns the schedule for a diffusers scheduler's config, whose shift counts where none is given.

        Raises UsageError for a scheduler whose times are not those of this file.
        """
        supported = {
            "use_dynamic_shifting": False,
            "num_train_timesteps": TRAIN_STEPS,
            "invert_sigmas": False,
            "shift_terminal": None,
            "use_karras_sigmas": False,
            "use_exponential_sigmas": False,
            "use_beta_sigmas": False,
            "stochastic_sampling": False,
        }
        for key, value in supported.items():
            if (config.get(key, value) or value) != value:
                raise UsageError(
                    f"this model's scheduler has {key}={config[key]!r}",
                    f"the steps of flow matching are derived for {key}={value!r} only",
                    "use a model such as Stable Diffusion 3.5 medium",
                )
        return cls(steps, shift=float(config.get("shift", 1.0)) if shift is None else shift, **how)

    def split(self, x: Tensor, prediction: Tensor, k: Index) -> tuple[Tensor, Tensor]:
        """Returns x̂0 = x - s v and e = x + (1-s) v; nothing is divided, also at s = 1."""
        noise, signal = self._at(self.noise_scale, k, len(x)), self._at(self.signal_scale, k, len(x))
        return x - noise * prediction, x + signal * prediction

    def add_noise(self, x0: Tensor, eps: Tensor, tau: Tensor) -> Tensor:
        """Returns x_tau = (1 - sigma) x0 + sigma eps, sigma = tau/1000."""
        sigma = (tau / TRAIN_STEPS).reshape(-1, 1, 1, 1)
        return (1 - sigma) * x0 + sigma * eps

    def target(self, x0: Tensor, eps: Tensor, tau: Tensor) -> Tensor:
        """Returns the velocity eps - x0."""
        return eps - x0

    def draw_time(self, noise: Noise, rows: Sequence[Sample]) -> Tensor:
        """Returns tau = 1000 sigma, float32 [N], sigma uniform in (0, 1) or logit-normal, then shifted."""
        if self.time == "logit-normal":
            sigma = torch.sigmoid(noise.normal(rows, "tau", shape=()).double())
        else:
            cells = torch.tensor([noise.integer(CELLS, "tau", row.number) for row in rows], dtype=torch.float64)
            sigma = (cells + 0.5) / CELLS
        return (TRAIN_STEPS * shifted(sigma, self.shift)).float()


CELLS = 2**24
"""The number of equal cells of (0, 1) at whose middles uniform times lie: as many as float32 tells apart."""
