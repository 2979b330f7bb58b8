"""The DDIM steps of a diffusion model that predicts noise (epsilon) or v.

| name here | symbol | meaning |
|---|---|---|
| ``tau[k]`` | tau_k | training timestep of step k: (k-1)*floor(1000/T) + offset, and tau_0 = 0 |
| ``alpha_bar[k]`` | abar(tau_k) | cumulative product of 1 - beta |
| ``sigma[k]`` | sigma_k | eta * sqrt((1-abar_{k-1})/(1-abar_k) * (1 - abar_k/abar_{k-1})) |
| ``to_x0``, ``to_eps`` | | sqrt(abar_{k-1}), and sqrt(1 - abar_{k-1} - sigma_k²) |

Sources: DDIM (arXiv:2010.02502) eq. 12, with the "leading" time grid of the released code of DDPO, D3PO and SPO;
v = sqrt(abar) e - sqrt(1 - abar) x_0: Salimans and Ho (arXiv:2202.00512), as SD 2.1 at 768 pixels predicts it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from benchbench.diffusion.schedule import Index, Schedule
from benchbench.errors import UsageError
from benchbench.hub.layout import PREDICTION_TYPES
from benchbench.noise import Noise, Sample


class DiffusionSchedule(Schedule):
    """T steps of the "leading" grid over a model's own noise schedule."""

    predicts = ("epsilon", "v")

    def __init__(
        self, alphas_cumprod: Tensor, steps: int, eta: float, offset: int = 1, prediction: str = "epsilon"
    ) -> None:
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
        if eta and not bool((sigma > 0).all()):
            raise UsageError(
                "this scheduler's last step has no noise",
                f"with steps_offset={offset} the last timestep is 0: sigma is 0 and the log-probability undefined",
                "use a scheduler config with steps_offset=1, as SD 1.5 has",
            )
        self.steps, self.eta, self.prediction = steps, eta, prediction
        self.timesteps = tuple(tau)
        self.stochastic = (False,) + (eta > 0,) * steps
        self.train_steps = last + 1
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
    def from_config(cls, config: Mapping[str, Any], steps: int, eta: float) -> DiffusionSchedule:
        """Returns the schedule for the config of a diffusers scheduler. Raises UsageError for an unsupported one.

        Imports diffusers only here: it takes seconds to load.
        """
        from diffusers import DDIMScheduler

        for key in ("clip_sample", "rescale_betas_zero_snr"):
            if config.get(key):
                raise UsageError(
                    f"this model's scheduler has {key}={config[key]!r}",
                    f"losses and log-probabilities are derived for {key}=False only",
                    "use a model such as SD 1.5, SD 2.1 or SDXL",
                )
        said = str(config.get("prediction_type", "epsilon"))
        prediction = PREDICTION_TYPES.get(said)
        if prediction is None:
            raise UsageError(
                f"this model's scheduler has prediction_type={said!r}",
                f"losses and log-probabilities are derived for {' and '.join(PREDICTION_TYPES)} only",
                "use a model that predicts noise, such as SD 1.5, or v, such as SD 2.1 at 768 pixels",
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
        return cls(ddim.alphas_cumprod, steps, eta, offset, prediction)

    def split(self, x: Tensor, prediction: Tensor, k: Index) -> tuple[Tensor, Tensor]:
        """Returns x̂0 and e: (x - sqrt(1-abar) e) / sqrt(abar) and e; of v, the rotation that undoes its definition."""
        noise, signal = self._at(self.noise_scale, k, len(x)), self._at(self.signal_scale, k, len(x))
        if self.prediction == "v":
            return signal * x - noise * prediction, noise * x + signal * prediction
        return (x - noise * prediction) / signal, prediction

    def add_noise(self, x0: Tensor, eps: Tensor, tau: Tensor) -> Tensor:
        """Returns x_tau = sqrt(abar) x0 + sqrt(1 - abar) eps [N, C, h, w], at timesteps tau int64 [N] (DDPM eq. 4)."""
        rows = len(x0)
        return self._at(self.train_signal, tau, rows) * x0 + self._at(self.train_noise, tau, rows) * eps

    def target(self, x0: Tensor, eps: Tensor, tau: Tensor) -> Tensor:
        """Returns eps, or v = sqrt(abar) eps - sqrt(1 - abar) x0."""
        if self.prediction == "v":
            rows = len(x0)
            return self._at(self.train_signal, tau, rows) * eps - self._at(self.train_noise, tau, rows) * x0
        return eps

    def draw_time(self, noise: Noise, rows: Sequence[Sample]) -> Tensor:
        """Returns timesteps int64 [N], uniform in 0 .. train_steps - 1."""
        return torch.tensor([noise.integer(self.train_steps, "tau", row.number) for row in rows])
