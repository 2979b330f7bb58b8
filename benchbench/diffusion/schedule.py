"""A sampler's steps and their log-probabilities, as pure tensor functions of the step index.

| name here | symbol | meaning |
|---|---|---|
| ``k`` | k | step index of the papers, T..1; k = 0 is the finished sample |
| ``tau[k]`` | tau_k | the time that the network is told at step k; tau_0 = 0 |
| ``split`` | x̂0, e | the clean sample and the noise that a prediction at x_k says |
| ``mean`` | mu | to_x0[k] x̂0 + to_eps[k] e |
| ``sigma[k]`` | sigma_k | standard deviation of the step's noise |

``DiffusionSchedule`` (diffusion_schedule.py) has the DDIM steps of models that predict noise or v, and ``FlowSchedule``
(flow_schedule.py) those of flow-matching models. The *mean* log-probability is that of the released code of DDPO, D3PO
and SPO. The papers sum over the D latent dimensions, which gives D times this value.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from benchbench.errors import UsageError
from benchbench.noise import Noise, Sample

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
    stochastic: bool = True
    """False for a step that is known to draw no noise; where rows are at different steps, nobody looks."""

    def draw(self, z: Tensor) -> Tensor:
        """Returns the next sample for standard normal ``z`` [N, C, h, w]."""
        return self.mean + self.std * z

    def log_prob(self, x_prev: Tensor) -> Tensor:
        """Returns the log-prob [N] of a given next sample, averaged over latent dimensions.

        Raises UsageError for a deterministic step, which has none.
        """
        if not self.stochastic:
            raise UsageError(
                "this step has no log-probability",
                "it draws no noise: the sampler is deterministic there",
                "train on the steps that Schedule.stochastic names",
            )
        return log_prob(x_prev, self.mean, self.std)

    def __getitem__(self, index: Any) -> Step:
        return replace(self, mean=self.mean[index], std=self.std[index], x0=self.x0[index])

    def repeat(self, times: int) -> Step:
        """Returns the batch repeated ``times`` times."""
        mean, std, x0 = (part.repeat(times, 1, 1, 1) for part in (self.mean, self.std, self.x0))
        return replace(self, mean=mean, std=std, x0=x0)


class Schedule(ABC):
    """T steps of a sampler; tables are float32 [T+1], indexed by k. A subclass fills them and knows the prediction."""

    predicts: ClassVar[tuple[str, ...]]
    """The predictions that this kind of schedule knows: ``epsilon``, ``v`` or ``velocity``."""
    prediction: str
    steps: int
    train_steps: int
    """The number of training timesteps: tau lies in 0 .. train_steps."""
    timesteps: tuple[float, ...]
    """tau on the host: reading the tensor would wait for the device."""
    stochastic: tuple[bool, ...]
    """For k = 0..T, whether step k draws noise; only such a step has a log-probability."""
    tau: Tensor
    sigma: Tensor
    to_x0: Tensor
    to_eps: Tensor
    noise_scale: Tensor
    """The share of noise in x_k; ``signal_scale`` is that of the clean sample."""
    signal_scale: Tensor

    @abstractmethod
    def split(self, x: Tensor, prediction: Tensor, k: Index) -> tuple[Tensor, Tensor]:
        """Returns x̂0 and the noise e that the network's prediction at latents x_k says, [N, C, h, w] each."""

    @abstractmethod
    def add_noise(self, x0: Tensor, eps: Tensor, tau: Tensor) -> Tensor:
        """Returns the noised x_tau [N, C, h, w] of clean latents, at times tau [N]."""

    @abstractmethod
    def target(self, x0: Tensor, eps: Tensor, tau: Tensor) -> Tensor:
        """Returns what a perfect network predicts at x_tau = add_noise(x0, eps, tau): [N, C, h, w]."""

    @abstractmethod
    def draw_time(self, noise: Noise, rows: Sequence[Sample]) -> Tensor:
        """Returns the times tau [N], in host memory, at which given images are noised; each depends on its row."""

    def to(self, device: torch.device | str) -> Self:
        """Moves the tables to the device and returns the schedule itself."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self

    def _at(self, table: Tensor, k: Index, rows: int) -> Tensor:
        return table[k].reshape(-1, 1, 1, 1).expand(rows, 1, 1, 1)

    def step(self, x: Tensor, prediction: Tensor, k: Index) -> Step:
        """Returns the distribution of x_{k-1} given latents x_k and the network's prediction, both [N, C, h, w]."""
        x0, e = self.split(x, prediction, k)
        mean = self._at(self.to_x0, k, len(x)) * x0 + self._at(self.to_eps, k, len(x)) * e
        known = self.stochastic[k] if isinstance(k, int) else True
        return Step(mean, self._at(self.sigma, k, len(x)), x0, known)

    @property
    def trainable(self) -> tuple[int, ...]:
        """The indices of the stochastic steps, in the order of the rollout: all of them, or all but the last."""
        return tuple(k for k in range(self.steps, 0, -1) if self.stochastic[k])

    def spaced(self, count: int) -> tuple[int, ...]:
        """Returns ``count`` evenly spaced stochastic steps from T down: (20, 16, 12, 8, 4) for 20 steps and 5."""
        ks = self.trainable[::-1]
        return tuple(ks[round(len(ks) * (count - i) / count) - 1] for i in range(count))

    def check(self, ks: Sequence[int], setting: str = "method.steps") -> None:
        """Raises UsageError unless every step index of a setting lies in 1..T and its step draws noise."""
        check_steps(ks, self.steps, setting)
        silent = [k for k in ks if not self.stochastic[k]]
        if silent:
            raise UsageError(
                f"{setting} has {silent}, where this sampler draws no noise",
                "a deterministic step has no log-probability, so that nothing can be learned or measured there",
                f"choose from {self.trainable}" if self.trainable else "choose a sampler that draws noise",
            )


def check_steps(ks: Sequence[int], steps: int, setting: str = "method.steps") -> None:
    """Raises UsageError unless every step index of a setting lies in 1..T."""
    out_of_range = [k for k in ks if not 1 <= k <= steps]
    if out_of_range:
        raise UsageError(
            f"{setting} has {out_of_range}, which no sampler of {steps} steps visits",
            f"step indices run from {steps} (the noisy end) to 1",
            f"choose from 1..{steps}, as in --set '{setting}=[{steps},{max(steps // 2, 1)}]'",
        )
