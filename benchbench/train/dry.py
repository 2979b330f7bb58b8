"""What a setting costs, counted and not guessed: one rollout, or batch of pairs, over a network that does nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from benchbench.api import Batch, Cond, ImagePairs, Images, OfflineMethod, StepScorer
from benchbench.config import RunConfig
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.schedule import Schedule
from benchbench.noise import Noise, Sample

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


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, tau: Tensor, text: Tensor) -> Any:
        return SimpleNamespace(sample=0.1 * self.weight * x)


class _Policy(Policy):
    def encode(self, prompts: Sequence[str]) -> Cond:
        return Cond(torch.zeros(len(prompts), 1, 1), torch.zeros(1, 1, 1))


class _Judge(StepScorer):
    """Tells any two images apart, by far; images of 8x8 pixels, so that no two are the same in 8 bits."""

    name, version, unit, range, differentiable, weights = "dry", "1", "x", (0.0, 1e9), True, "none"

    def score(self, images: Any, prompts: Sequence[str]) -> Tensor:
        raise AssertionError("a dry rollout reads the differentiable path only")

    def score_differentiable(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        return 1e9 * images.flatten(1).mean(1)

    def score_at(self, images: Tensor, prompts: Sequence[str], tau: Tensor) -> Tensor:
        return self.score_differentiable(images, prompts)


def _decode(x: Tensor) -> Tensor:
    return x[:, :3].sigmoid()


def price(config: RunConfig) -> Price:
    """Counts one rollout of ``train.batch`` images with every pair told apart: for SPO, the most there can be."""
    method, cfg, sampler = config.method_class(), config.method_config, config.sampler
    backbone: Any = SimpleNamespace(unet=_Net(), latent_shape=SHAPE, device=torch.device("cpu"), batch_size=64)
    schedule = Schedule.from_config(SD15, sampler.steps, sampler.eta)
    policy = _Policy(backbone, schedule, sampler.guidance_scale)
    reward, noise = StepReward(_decode, _Judge(), policy), Noise(0, "dry")  # type: ignore[arg-type]
    count = max(1, config.train.batch // method.images(cfg))
    samples = [Sample("x", i) for i in range(count)]
    rows = []
    with torch.no_grad():
        batches: Iterable[Batch]
        if isinstance(method, OfflineMethod):
            batches = [_read(method, policy, count, cfg, noise)]
        else:
            batches = (batch for batch, _ in method.collect(policy, samples, reward, cfg, noise))
        for batch in batches:
            rows.append(len(batch))
            with torch.enable_grad():
                method.loss(policy, batch, cfg, noise)
    images, cost = count * method.images(cfg), policy.cost
    evals, grads = cost.unet_evals + cost.plain_evals / 2, cost.unet_grads + cost.plain_grads / 2
    return Price(images, len(rows), max(rows, default=0), *(n / images for n in (evals, grads, cost.reward_calls)))


def _read(method: OfflineMethod, policy: Policy, count: int, cfg: Any, noise: Noise) -> Batch:
    """A prepared batch of ``count`` draws."""
    draw, cond = torch.arange(count), policy.encode(["x"] * count)
    x = noise.generator("latents")
    first, second = (torch.randn((count, *SHAPE), generator=x) for _ in range(2))
    whole: Batch = ImagePairs(first, second, cond, draw)
    if method.winners(cfg) is not None:
        whole = Images(first, cond, draw, torch.ones(count))
    return method.prepare(policy, whole, cfg, noise)[0]
