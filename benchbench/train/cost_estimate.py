"""Counts what a setting costs by running one rollout, or one batch of pairs, over a network that does nothing."""

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
from benchbench.diffusion.diffusion_schedule import DiffusionSchedule
from benchbench.diffusion.flow_schedule import FlowSchedule
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.schedule import Index, Schedule
from benchbench.noise import Noise, Sample, Word
from benchbench.samplers import FlowSampler, SamplerConfig
from benchbench.types import Batch, Cond, ImagePairs, Images, StepScorer

SHAPE = (4, 8, 8)
BETAS = (0.00085, 0.012)  # the first and the last of SD 1.5


@dataclass(frozen=True)
class RolloutCost:
    """The cost of one rollout per final image; an offline method's rollout is the reading of one batch."""

    images: int
    """Final images of a rollout, or images in a batch."""
    updates: int
    """Optimizer steps of a rollout."""
    rows: int
    """The effective batch: rows (denoising steps, pairs of them or pairs of images) of the largest optimizer step."""
    unet_evals: float
    """Network evaluations with guidance; here and below, one without guidance counts as half."""
    unet_grads: float
    reward_calls: float
    nfe: float
    """All evaluations in units of one without gradient, as a run logs them; fixed evaluations are not included."""


class _FakeNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, tau: Tensor, text: Tensor) -> Any:
        return SimpleNamespace(sample=0.1 * self.weight * x)


class _CountingPolicy(Policy):
    largest = 0  # rows of the largest evaluation without gradient, outside the loss

    def encode(self, prompts: Sequence[str]) -> Cond:
        return Cond(torch.zeros(len(prompts), 1, 1), torch.zeros(1, 1, 1))

    def prediction(self, x: Tensor, k: Index, cond: Cond) -> Tensor:
        self._note_rows(x)
        return super().prediction(x, k, cond)

    def predict(self, x: Tensor, tau: Tensor, cond: Cond) -> Tensor:
        self._note_rows(x)
        return super().predict(x, tau, cond)

    def _note_rows(self, x: Tensor) -> None:
        if not torch.is_grad_enabled():
            self.largest = max(self.largest, len(x))


class _FakeReward(StepScorer):
    """Gives any two images of 8x8 pixels scores that are far apart, so that every pair has a winner."""

    name, version, unit, range, differentiable, weights = "dry", "1", "x", (0.0, 1e9), True, "none"
    largest = 0  # images of the largest call without gradient

    def score(self, images: Any, prompts: Sequence[str]) -> Tensor:
        raise AssertionError("this rollout calls the differentiable path only")

    def score_differentiable(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        if not torch.is_grad_enabled():
            self.largest = max(self.largest, len(images))
        return 1e9 * images.flatten(1).mean(1)

    def score_at(self, images: Tensor, prompts: Sequence[str], tau: Tensor) -> Tensor:
        return self.score_differentiable(images, prompts)


def _alphas_cumprod() -> Tensor:
    """Returns SD 1.5's noise schedule, as diffusers makes it; importing that takes seconds."""
    first, last = BETAS
    betas = torch.linspace(first**0.5, last**0.5, 1000, dtype=torch.float32) ** 2
    return torch.cumprod(1 - betas, 0)


def _schedule(sampler: SamplerConfig | FlowSampler) -> Schedule:
    """Returns the sampler's schedule, over the noise schedule of SD 1.5 for a diffusion model."""
    if isinstance(sampler, SamplerConfig):
        return DiffusionSchedule(_alphas_cumprod(), sampler.steps, sampler.eta)
    settings = {key: value for key, value in sampler.making.items() if key != "guidance_scale"}
    return FlowSchedule.from_config({}, **settings)


def _decode(x: Tensor) -> Tensor:
    return x[:, :3].sigmoid()


@dataclass(frozen=True)
class Sizes:
    """The most rows that a run puts on the device at a time, before anything is split to fit its memory."""

    batch: Batch
    """The largest batch of an optimizer step, with latents of 4x8x8."""
    denoised: int
    """Rows of the largest evaluation of the network without gradient, in a rollout or before the loss."""
    scored: int
    """Images of the largest reward call without gradient."""


class _At(Noise):
    """Draws each integer at the ``share`` of its range: a size that a method draws is then the largest, or a mean."""

    share = 1.0

    def integer(self, below: int, *words: Word) -> int:
        return int(self.share * (below - 1))


class _Halfway(_At):
    share = 0.5


class _Rollout:
    """One rollout of ``train.batch`` images in which no pair is a tie, so that SPO has the most pairs possible."""

    def __init__(self, config: RunConfig, noise: Noise) -> None:
        self.method, self.cfg, sampler = config.method_class(), config.method_config, config.sampler
        backbone: Any = SimpleNamespace(
            network=_FakeNetwork(), latent_shape=SHAPE, device=torch.device("cpu"), batch_size=64, dtype="fp32"
        )
        schedule = _schedule(sampler)
        self.policy, self.reward = _CountingPolicy(backbone, schedule, sampler.guidance_scale), _FakeReward()
        self.noise = noise
        self.count = max(1, config.train.batch // self.method.images(self.cfg))
        if "old" in self.method.needs(self.cfg):
            self.policy.keep_old()

    def batches(self) -> Iterator[Batch]:
        """Yields the batch of each optimizer step; the caller disables gradients."""
        if isinstance(self.method, OfflineMethod):
            yield _offline_batch(self.method, self.policy, self.count, self.cfg, self.noise)
            return
        step_reward = StepReward(_decode, self.reward, self.policy)  # type: ignore[arg-type]
        samples = [Sample("x", i) for i in range(self.count)]
        for batch, _ in self.method.collect(self.policy, samples, step_reward, self.cfg, self.noise):
            yield batch


def rollout_cost(config: RunConfig) -> RolloutCost:
    """Runs one rollout with its losses and returns what it cost."""
    rollout, rows = _Rollout(config, _Halfway(0, "dry")), []
    policy, method = rollout.policy, rollout.method
    with torch.no_grad():
        for batch in rollout.batches():
            rows.append(len(batch))
            with torch.enable_grad():
                method.loss(policy, batch, rollout.cfg, rollout.noise)
    images, cost = rollout.count * method.images(rollout.cfg), policy.cost
    evals, grads = cost.unet_evals + cost.plain_evals / 2, cost.unet_grads + cost.plain_grads / 2
    per_image = (n / images for n in (evals, grads, cost.reward_calls, cost.nfe(config.train.finetune)))
    return RolloutCost(images, len(rows), max(rows, default=0), *per_image)


def fixed_evaluations(config: RunConfig, rollout: RolloutCost) -> int:
    """Returns the guided network evaluations that a run spends on its evaluations with fixed noise.

    A run evaluates at its start, at the end of each rollout that passes a multiple of ``eval_every`` samples or
    ``eval_steps`` optimizer steps, and at its end.
    """
    train, total = config.train, config.samples
    if not train.eval_every:
        return 0
    every = train.eval_steps or train.eval_every
    ends = [min(i * rollout.images, total) for i in range(-(-total // rollout.images) + 1)]
    reached = [i * rollout.updates for i in range(len(ends))] if train.eval_steps else ends
    due = [before // every != now // every for before, now in pairwise(reached)]
    return (1 + sum(due) + (not due[-1])) * train.eval_images * config.sampler.evaluation.steps


@torch.no_grad()
def sizes(config: RunConfig) -> Sizes:
    """Returns the largest numbers of rows in one rollout. It takes no optimizer steps, since they change no size."""
    rollout = _Rollout(config, _At(0, "dry"))
    batch = max(rollout.batches(), key=len)
    return Sizes(batch, rollout.policy.largest, rollout.reward.largest)


def _offline_batch(method: OfflineMethod[Any], policy: Policy, count: int, cfg: Any, noise: Noise) -> Batch:
    """Returns a prepared batch of ``count`` draws with random latents."""
    draw, cond = torch.arange(count), policy.encode(["x"] * count)
    generator = noise.generator("latents")
    winner, loser = (torch.randn((count, *SHAPE), generator=generator) for _ in range(2))
    batch: Batch = ImagePairs(winner, loser, cond, draw)
    if method.winners(cfg) is not None:
        batch = Images(winner, cond, draw, torch.ones(count))
    return method.prepare(policy, batch, cfg, noise)[0]
