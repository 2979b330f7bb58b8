"""The DDIM step and its log-probability, as pure tensor functions of the step index.

| name here | symbol | meaning |
|---|---|---|
| ``k`` | k | step index of the papers, T..1; k = 0 is the finished sample |
| ``tau[k]`` | tau_k | training timestep of step k: (k-1)*floor(1000/T) + offset, and tau_0 = 0 |
| ``alpha_bar[k]`` | abar(tau_k) | cumulative product of 1 - beta |
| ``sigma[k]`` | sigma_k | eta * sqrt((1-abar_{k-1})/(1-abar_k) * (1 - abar_k/abar_{k-1})) |
| ``x0`` | x̂0 | (x - sqrt(1-abar_k) e) / sqrt(abar_k) |
| ``mean`` | mu | sqrt(abar_{k-1}) x̂0 + sqrt(1 - abar_{k-1} - sigma_k²) e |

Source: DDIM (arXiv:2010.02502) eq. 12, with the time grid and the *mean* log-probability of the released code of DDPO,
D3PO and SPO. The papers sum over the D latent dimensions, which gives D times this value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchbench.errors import UsageError

Index = int | Tensor  # one step index for all rows, or int64 [N]
LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


def log_prob(x_prev: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Returns log N(x_prev; mean, std²), averaged over latent dimensions: float32 [N]; std is [N, 1, 1, 1].

    The sample is a fixed action: gradients reach ``mean`` only.
    """
    z = (x_prev.detach() - mean) / std
    return (-0.5 * z.square() - std.log() - LOG_SQRT_2PI).flatten(1).mean(1)


@dataclass(frozen=True)
class Step:
    """One denoising step of N rows: x_{k-1} ~ N(mean, std²), and the prediction x̂0 behind it."""

    mean: Tensor  # [N, C, h, w]
    std: Tensor  # [N, 1, 1, 1]
    x0: Tensor  # [N, C, h, w]

    def draw(self, z: Tensor) -> Tensor:
        """Returns the next sample for standard normal ``z`` [N, C, h, w]."""
        return self.mean + self.std * z

    def log_prob(self, x_prev: Tensor) -> Tensor:
        """Returns the log-prob [N] of a given next sample, averaged over latent dimensions."""
        return log_prob(x_prev, self.mean, self.std)

    def __getitem__(self, index: Any) -> Step:
        return Step(self.mean[index], self.std[index], self.x0[index])

    def repeat(self, times: int) -> Step:
        """Returns the batch repeated ``times`` times."""
        return Step(*(part.repeat(times, 1, 1, 1) for part in (self.mean, self.std, self.x0)))


class Schedule:
    """T steps of the "leading" grid over a model's own noise schedule; tables are float32 [T+1], indexed by k."""

    def __init__(self, alphas_cumprod: Tensor, steps: int, eta: float, offset: int = 1) -> None:
        if eta <= 0:
            raise UsageError(
                f"training with sampler.eta={eta} is not possible",
                "with eta = 0 a DDIM step is deterministic and has no log-probability",
                "use --set sampler.eta=1.0, as all released code does",
            )
        last = len(alphas_cumprod) - 1
        stride = len(alphas_cumprod) // steps
        first = (steps - 1) * stride + offset
        if stride < 1 or offset < 0 or first > last:
            raise UsageError(
                f"a sampler of {steps} steps does not fit this model's noise schedule",
                f"its timesteps run from 0 to {last}, and with steps_offset={offset} the sampler would start at {first}"
                if stride
                else f"it has {last + 1} timesteps",
                f"use --set sampler.steps={last} or fewer; 20 to 50 are usual",
            )
        tau = [0] + [(k - 1) * stride + offset for k in range(1, steps + 1)]
        abar = alphas_cumprod.double()[tau]
        a, p = abar[1:], abar[:-1]
        sigma = eta * ((1 - p) / (1 - a) * (1 - a / p)).sqrt()
        if bool((sigma > 0).all()) and not bool((sigma.float() > 0).all()):
            raise UsageError(
                f"training with sampler.eta={eta:g} is not possible",
                "a step's noise is 0 in float32, and its log-probability undefined",
                "use --set sampler.eta=1.0, as all released code does",
            )
        if not bool((sigma > 0).all()):
            raise UsageError(
                "this scheduler's last step has no noise",
                f"with steps_offset={offset} the last timestep is 0: sigma is 0 and the log-probability undefined",
                "use a scheduler config with steps_offset=1, as SD 1.5 has",
            )
        self.steps, self.eta = steps, eta
        self.timesteps = tuple(tau)  # tau on the host: reading the tensor would wait for the device
        self.tau = torch.tensor(tau)
        self.alpha_bar = abar.float()
        self.sigma = torch.cat([torch.zeros(1), sigma.float()])
        # mean = to_x0 * x̂0 + to_eps * e; computed in float64 to avoid cancellation in 1 - abar
        self.to_x0 = torch.cat([torch.ones(1), p.sqrt().float()])
        self.to_eps = torch.cat([torch.zeros(1), (1 - p - sigma**2).clamp(min=0).sqrt().float()])
        self.noise_scale = (1 - abar).sqrt().float()
        self.signal_scale = abar.sqrt().float()
        # the full noise schedule by training timestep, for methods that add noise to given images
        self.train_noise = (1 - alphas_cumprod.double()).sqrt().float()
        self.train_signal = alphas_cumprod.double().sqrt().float()

    @classmethod
    def from_config(cls, config: Mapping[str, Any], steps: int, eta: float) -> Schedule:
        """Returns the schedule for the config of any diffusers scheduler. Raises UsageError for an unsupported one.

        Imports diffusers only here: it takes seconds to load.
        """
        from diffusers import DDIMScheduler

        supported = {"prediction_type": "epsilon", "clip_sample": False, "rescale_betas_zero_snr": False}
        for key, value in supported.items():
            if config.get(key, value) != value:
                raise UsageError(
                    f"this model's scheduler has {key}={config[key]!r}",
                    f"losses and log-probabilities are derived for {key}={value!r} only",
                    "use an epsilon-prediction model such as SD 1.5, or SD 2.1-base (not the 768-px SD 2.1)",
                )
        keys = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas")
        try:
            ddim = DDIMScheduler(**{key: config[key] for key in keys if config.get(key) is not None})
            offset = int(config.get("steps_offset", 1))
        except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            # diffusers raises the first for an unknown beta_schedule, and the others for values of a wrong kind
            raise UsageError(
                "this model's scheduler config cannot be used",
                f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}",
                "compare its scheduler/scheduler_config.json with that of SD 1.5",
            ) from error
        return cls(ddim.alphas_cumprod, steps, eta, offset)

    def to(self, device: torch.device | str) -> Schedule:
        """Moves the tables to the device and returns the schedule itself."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self

    def _at(self, table: Tensor, k: Index, rows: int) -> Tensor:
        return table[k].reshape(-1, 1, 1, 1).expand(rows, 1, 1, 1)

    def x0(self, x: Tensor, e: Tensor, k: Index) -> Tensor:
        """Returns x̂0 [N, C, h, w] for latents x and predicted noise e."""
        return (x - self._at(self.noise_scale, k, len(x)) * e) / self._at(self.signal_scale, k, len(x))

    def add_noise(self, x0: Tensor, eps: Tensor, tau: Tensor) -> Tensor:
        """Returns x_tau = sqrt(abar) x0 + sqrt(1 - abar) eps [N, C, h, w], at timesteps tau int64 [N] (DDPM eq. 4)."""
        rows = len(x0)
        return self._at(self.train_signal, tau, rows) * x0 + self._at(self.train_noise, tau, rows) * eps

    @property
    def train_steps(self) -> int:
        """The number of training timesteps: tau is 0 .. train_steps - 1."""
        return len(self.train_signal)

    def step(self, x: Tensor, e: Tensor, k: Index) -> Step:
        """Returns the distribution of x_{k-1} given latents x_k and predicted noise e, both [N, C, h, w]."""
        x0 = self.x0(x, e, k)
        mean = self._at(self.to_x0, k, len(x)) * x0 + self._at(self.to_eps, k, len(x)) * e
        return Step(mean, self._at(self.sigma, k, len(x)), x0)

    def spaced(self, count: int) -> tuple[int, ...]:
        """Returns ``count`` evenly spaced step indices from T down: (20, 16, 12, 8, 4) for T = 20 and 5."""
        return tuple(round(self.steps * (count - i) / count) for i in range(count))


def check_steps(ks: Sequence[int], steps: int) -> None:
    """Raises UsageError unless every trained step index lies in 1..T."""
    out_of_range = [k for k in ks if not 1 <= k <= steps]
    if out_of_range:
        raise UsageError(
            f"method.steps has {out_of_range}, which no sampler of {steps} steps visits",
            f"step indices run from {steps} (the noisy end) to 1",
            f"choose from 1..{steps}, as in --set 'method.steps=[{steps},{max(steps // 2, 1)}]'",
        )
