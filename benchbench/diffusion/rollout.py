"""The denoising walk x_T -> x_0, as a generator that lets a method choose the next sample."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchbench.diffusion.policy import Policy
from benchbench.diffusion.schedule import Step
from benchbench.noise import Noise, Sample
from benchbench.runtime.cpu_threads import side_by_side
from benchbench.types import Cond

Draw = Callable[[int], Tensor]  # k -> standard normal [N, C, h, w]
Choice = tuple[Tensor, Step | None]  # the next latents, and their own step where it is known already


@dataclass(frozen=True)
class Visit:
    """Where the walk stands: at x_k, about to take ``step``. At k = 0 it has ended and ``x`` is the final latents."""

    k: int
    x: Tensor  # [N, C, h, w]
    _step: Step | None = None

    @property
    def step(self) -> Step:
        """The distribution of the next latents; not defined at k = 0."""
        assert self._step is not None
        return self._step


def rollout(
    policy: Policy, cond: Cond, x: Tensor, draw: Draw, first: int | None = None, step: Step | None = None
) -> Generator[Visit, Choice | None, None]:
    """Visits k = T..0. ``next`` draws the next sample with ``draw(k)``; ``send((x, step))`` takes the given one.

    A method that has evaluated the network at the sample it sends hands that Step over, and nothing is computed twice.
    A walk that goes on from another one begins at k = ``first``, with the ``step`` that is known there.
    """
    for k in range(policy.schedule.steps if first is None else first, 0, -1):
        if step is None:
            with torch.no_grad():
                step = policy.step(x, k, cond)
        choice = yield Visit(k, x, step)
        x, step = choice if choice is not None else (step.draw(draw(k)), None)
    yield Visit(0, x)


class NoiseSource:
    """The noise of one batch of samples: the start x_T, and z at each step, for one named branch of the walk."""

    def __init__(self, policy: Policy, noise: Noise, samples: Sequence[Sample]) -> None:
        self.shape, self.device = policy.backbone.latent_shape, policy.backbone.device
        self.noise, self.samples = noise, samples

    def start(self) -> Tensor:
        """x_T, the same for every branch."""
        return self.noise.normal(self.samples, "x_T", shape=self.shape, device=self.device)

    def z(self, k: int, branch: str = "") -> Tensor:
        """Noise of step k."""
        return self.noise.normal(self.samples, "z", k, branch, shape=self.shape, device=self.device)


@torch.no_grad()
def walk(policy: Policy, samples: Sequence[Sample], noise: Noise) -> Tensor:
    """Final latents [N, C, h, w] of a plain walk: what an evaluation looks at."""
    cond, draws = policy.encode([s.prompt for s in samples]), NoiseSource(policy, noise, samples)
    x = draws.start()
    for visit in rollout(policy, cond, x, draws.z):
        x = visit.x
    return x


def generate(policy: Policy, samples: Sequence[Sample], noise: Noise) -> Tensor:
    """The same, side by side on a CPU's cores."""
    whole = [slice(0, len(samples))]
    parts = side_by_side(lambda rows: walk(policy, samples[rows], noise), whole, policy.threads)
    return torch.cat([x for _, x in sorted(parts, key=lambda part: part[0].start)])
