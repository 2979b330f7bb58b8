"""The denoising process x_T -> x_0, as a generator that lets a method choose the next sample."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchbench.diffusion.policy import Policy
from benchbench.diffusion.schedule import Step
from benchbench.noise import Noise, Sample
from benchbench.runtime.cpu_threads import run_in_threads
from benchbench.types import Cond, LastSteps

Draw = Callable[[int], Tensor]  # k -> standard normal [N, C, h, w]
Choice = tuple[Tensor, Step | None]  # the next latents, and the Step at them if it is already known


@dataclass(frozen=True)
class Visit:
    """The state of a rollout at x_k, before ``step`` is taken. At k = 0 it has ended and ``x`` is the final latents."""

    k: int
    x: Tensor  # [N, C, h, w]
    _step: Step | None = None

    @property
    def step(self) -> Step:
        """The distribution of the next latents; not defined at k = 0."""
        assert self._step is not None
        return self._step


def rollout(
    policy: Policy, cond: Cond, x: Tensor, draw: Draw, first_k: int | None = None, step: Step | None = None
) -> Generator[Visit, Choice | None, None]:
    """Yields a Visit for k = T..0. ``next`` draws the next sample with ``draw(k)``; ``send((x, step))`` sets it.

    A method that has already evaluated the network at the sample sends the Step, so that it is not computed again.
    A rollout that continues another one starts at k = ``first_k`` with the known ``step``.
    """
    for k in range(policy.schedule.steps if first_k is None else first_k, 0, -1):
        if step is None:
            with torch.no_grad():
                step = policy.step(x, k, cond)
        choice = yield Visit(k, x, step)
        x, step = choice if choice is not None else (step.draw(draw(k)) if step.stochastic else step.mean, None)
    yield Visit(0, x)


def take_again(policy: Policy, last: LastSteps) -> Tensor:
    """Returns x_0 [N, C, h, w] of the last K steps of rollouts under their noise, with gradient where it is enabled."""
    x = last.x
    for k in range(last.z.shape[1], 0, -1):
        x = policy.step(x, k, last.cond).draw(last.z[:, k - 1])
    return x


class NoiseSource:
    """The noise of one batch of samples: the start x_T, and z for each step and named branch of a rollout.

    With ``shared_start`` every sample of a prompt starts from the x_T of its sample 0.
    """

    def __init__(self, policy: Policy, noise: Noise, samples: Sequence[Sample], shared_start: bool = False) -> None:
        self.shape, self.device = policy.backbone.latent_shape, policy.backbone.device
        self.noise, self.samples = noise, samples
        self.starts = [sample._replace(number=0) for sample in samples] if shared_start else samples

    def start(self) -> Tensor:
        """Returns x_T [N, C, h, w], the same for every branch."""
        return self.noise.normal(self.starts, "x_T", shape=self.shape, device=self.device)

    def z(self, k: int, branch: str = "") -> Tensor:
        """Returns the noise z [N, C, h, w] of step k in a branch."""
        return self.noise.normal(self.samples, "z", k, branch, shape=self.shape, device=self.device)


@torch.no_grad()
def walk(policy: Policy, samples: Sequence[Sample], noise: Noise, shared_start: bool = False) -> Tensor:
    """Returns the final latents [N, C, h, w] of a rollout in which every step is drawn; evaluations use it."""
    cond, source = policy.encode([s.prompt for s in samples]), NoiseSource(policy, noise, samples, shared_start)
    x = source.start()
    for visit in rollout(policy, cond, x, source.z):
        x = visit.x
    return x


def generate(policy: Policy, samples: Sequence[Sample], noise: Noise) -> Tensor:
    """Returns ``walk`` of all samples, computed in parallel threads on a CPU."""
    batch = slice(0, len(samples))
    parts = run_in_threads(lambda rows: walk(policy, samples[rows], noise), [batch], policy.threads)
    return torch.cat([x for _, x in sorted(parts, key=lambda part: part[0].start)])
