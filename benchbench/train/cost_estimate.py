"""What a setting costs, counted and not guessed: one rollout, or batch of pairs, over a network that does nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from benchbench.api import OfflineMethod
from benchbench.config import RunConfig
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.schedule import Index, Schedule
from benchbench.noise import Noise, Sample
from benchbench.types import Batch, Cond, ImagePairs, Images, StepScorer

SHAPE = (4, 8, 8)
SD15 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


@dataclass(frozen=True)
class Price:
    """Of one rollout, a final image at a time; an offline method's is the reading of its batch."""

    images: int
    """Final images of a rollout, or those that a batch shows."""
    updates: int
    """Optimiser steps of a rollout."""
    rows: int
    """Denoising steps, pairs of them, or pairs of images, of the largest optimiser step: the effective batch."""
    unet_evals: float
    """Guided ones; one without guidance is half of one, as in all that follow."""
    unet_grads: float
    reward_calls: float
    nfe: float
    """All evaluations with and without gradient as those without, as in a run's log; without its fixed evaluations."""


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, tau: Tensor, text: Tensor) -> Any:
        return SimpleNamespace(sample=0.1 * self.weight * x)


class _Policy(Policy):
    most = 0  # rows of the largest evaluation without gradient, outside the loss

    def encode(self, prompts: Sequence[str]) -> Cond:
        return Cond(torch.zeros(len(prompts), 1, 1), torch.zeros(1, 1, 1))

    def eps(self, x: Tensor, k: Index, cond: Cond) -> Tensor:
        self._see(x)
        return super().eps(x, k, cond)

    def predict(self, x: Tensor, tau: Tensor, cond: Cond) -> Tensor:
        self._see(x)
        return super().predict(x, tau, cond)

    def _see(self, x: Tensor) -> None:
        if not torch.is_grad_enabled():
            self.most = max(self.most, len(x))


class _Judge(StepScorer):
    """Tells any two images apart, by far; images of 8x8 pixels, so that no two are the same in 8 bits."""

    name, version, unit, range, differentiable, weights = "dry", "1", "x", (0.0, 1e9), True, "none"
    most = 0  # images of the largest call without gradient

    def score(self, images: Any, prompts: Sequence[str]) -> Tensor:
        raise AssertionError("a dry rollout reads the differentiable path only")

    def score_differentiable(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        if not torch.is_grad_enabled():
            self.most = max(self.most, len(images))
        return 1e9 * images.flatten(1).mean(1)

    def score_at(self, images: Tensor, prompts: Sequence[str], tau: Tensor) -> Tensor:
        return self.score_differentiable(images, prompts)


def _decode(x: Tensor) -> Tensor:
    return x[:, :3].sigmoid()


@dataclass(frozen=True)
class Sizes:
    """The largest parts that a run asks of the device at a time, before anything is cut to fit."""

    batch: Batch
    """The largest batch of an optimiser step, with latents of 4x8x8."""
    walked: int
    """Rows of the largest evaluation of the network without gradient, in a rollout or before the loss."""
    judged: int
    """Images of the largest reward call without gradient."""


class _Rollout:
    """One rollout of ``train.batch`` images with every pair told apart: for SPO, the most there can be."""

    def __init__(self, config: RunConfig) -> None:
        self.method, self.cfg, sampler = config.method_class(), config.method_config, config.sampler
        backbone: Any = SimpleNamespace(
            network=_Net(), latent_shape=SHAPE, device=torch.device("cpu"), batch_size=64, dtype="fp32"
        )
        schedule = Schedule.from_config(SD15, sampler.steps, sampler.eta)
        self.policy, self.judge = _Policy(backbone, schedule, sampler.guidance_scale), _Judge()
        self.noise = Noise(0, "dry")
        self.count = max(1, config.train.batch // self.method.images(self.cfg))

    def batches(self) -> Iterator[Batch]:
        """Yields the batch of each optimiser step; call it without gradient."""
        if isinstance(self.method, OfflineMethod):
            yield _read(self.method, self.policy, self.count, self.cfg, self.noise)
            return
        reward = StepReward(_decode, self.judge, self.policy)  # type: ignore[arg-type]
        samples = [Sample("x", i) for i in range(self.count)]
        for batch, _ in self.method.collect(self.policy, samples, reward, self.cfg, self.noise):
            yield batch


def price(config: RunConfig) -> Price:
    """Counts one rollout."""
    rollout, rows = _Rollout(config), []
    policy, method = rollout.policy, rollout.method
    with torch.no_grad():
        for batch in rollout.batches():
            rows.append(len(batch))
            with torch.enable_grad():
                method.loss(policy, batch, rollout.cfg, rollout.noise)
    images, cost = rollout.count * method.images(rollout.cfg), policy.cost
    evals, grads = cost.unet_evals + cost.plain_evals / 2, cost.unet_grads + cost.plain_grads / 2
    each = (n / images for n in (evals, grads, cost.reward_calls, cost.nfe(config.train.finetune)))
    return Price(images, len(rows), max(rows, default=0), *each)


def fixed_evaluations(config: RunConfig, rollout: Price) -> int:
    """Guided UNet evaluations of a whole run's evaluations on fixed noise, of which each ends a ``rollout`` or the run.

    There is one at the start, one wherever ``eval_every`` samples or ``eval_steps`` optimiser steps have passed, and
    one at the end.
    """
    train, total = config.train, config.samples
    if not train.eval_every:
        return 0
    every = train.eval_steps or train.eval_every
    ends = [min(i * rollout.images, total) for i in range(-(-total // rollout.images) + 1)]
    reached = [i * rollout.updates for i in range(len(ends))] if train.eval_steps else ends
    due = [before // every != now // every for before, now in pairwise(reached)]
    return (1 + sum(due) + (not due[-1])) * train.eval_images * config.sampler.steps


@torch.no_grad()
def sizes(config: RunConfig) -> Sizes:
    """Returns what one rollout asks of the device at a time. Optimiser steps are left out: they change no size."""
    rollout = _Rollout(config)
    batch = max(rollout.batches(), key=len)
    return Sizes(batch, rollout.policy.most, rollout.judge.most)


def _read(method: OfflineMethod[Any], policy: Policy, count: int, cfg: Any, noise: Noise) -> Batch:
    """A prepared batch of ``count`` draws."""
    draw, cond = torch.arange(count), policy.encode(["x"] * count)
    x = noise.generator("latents")
    first, second = (torch.randn((count, *SHAPE), generator=x) for _ in range(2))
    whole: Batch = ImagePairs(first, second, cond, draw)
    if method.winners(cfg) is not None:
        whole = Images(first, cond, draw, torch.ones(count))
    return method.prepare(policy, whole, cfg, noise)[0]
