"""Trains a step-aware preference model on pairs of pictures (SPO, arXiv:2406.04314, section 4.4).

Both pictures of a pair are noised with the same noise to the same timestep t, the frozen base model predicts x̂0 of each
with guidance, and the model learns to prefer, given t, the prediction of the preferred picture.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from benchbench.diffusion.backbones import Backbone
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.errors import RunError
from benchbench.noise import Noise
from benchbench.pairs.dataset import PairSet
from benchbench.pairs.stream import PairStream
from benchbench.runtime.memory import Splitter

TIMES = 1000  # training timesteps of the base model


class SPMConfig(BaseModel):
    """Defaults are those of the released code for SD 1.5; its effective batch is ambiguous."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(8000, ge=1, description="optimiser steps [code]")
    batch: int = Field(64, ge=1, description="pairs a step [code: 16 on each of 4 GPUs]")
    lr: float = Field(3e-6, gt=0, description="AdamW learning rate at its highest [code]")
    weight_decay: float = Field(0.3, ge=0, description="AdamW weight decay [code]")
    warm_up: int = Field(500, ge=1, description="steps of linear rise; a linear fall to 0 follows [code]")
    grad_clip: float = Field(1.0, gt=0, description="largest gradient norm [code]")
    guidance_scale: float = Field(5.0, ge=0, description="of the prediction x̂0 [code]")
    parts: Literal["vision", "added"] = Field(
        "vision", description="trained: the image tower with its step-aware layers [code], or those layers alone [ours]"
    )


@dataclass(frozen=True)
class Pairs:
    """N prompts, two pictures of each [N, 3, H, W] in [0, 1], and whether the first is preferred: 1, 0, .5 (tie)."""

    prompts: Sequence[str]
    first: Tensor
    second: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.prompts)


class Drawn(NamedTuple):
    """What one step learns from: B prompts, two pictures of each, the labels, and 1 / (pairs of the same prompt)."""

    prompts: list[str]
    first: Tensor
    second: Tensor
    label: Tensor
    weight: Tensor


def drawn(pairs: Pairs, batch: int, generator: torch.Generator) -> Iterator[Drawn]:
    """Endless batches of pairs in memory, one random order after another."""
    often = Counter(pairs.prompts)
    weight = torch.tensor([1 / often[prompt] for prompt in pairs.prompts])
    order: list[int] = []
    while True:
        while len(order) < batch:
            order += torch.randperm(len(pairs), generator=generator).tolist()
        index, order = torch.tensor(order[:batch]), order[batch:]
        prompts = [pairs.prompts[i] for i in index]
        yield Drawn(prompts, pairs.first[index], pairs.second[index], pairs.label[index], weight[index])


def streamed(pairs: PairSet, resolution: int, batch: int, seed: int, log: Callable) -> Iterator[Drawn]:
    """Endless batches of pairs on disk, unflipped; the preferred picture is the first. Skipped rows are said."""
    often = Counter(pairs.captions())
    stream = PairStream(pairs, Noise(seed, "spm"), resolution, flip=False)
    start = 0
    while True:
        items = stream.batch(start, start + batch)
        for skipped in stream.bad:
            log(f"skipped: {skipped.place}: {skipped.why}")
        stream.bad, start = [], start + batch
        prompts = [item.caption for item in items]
        first = torch.stack([(item.winner + 1) / 2 for item in items])
        second = torch.stack([(item.loser + 1) / 2 for item in items])
        label = torch.tensor([0.5 if item.tie else 1.0 for item in items])
        yield Drawn(prompts, first, second, label, torch.tensor([1 / often[prompt] for prompt in prompts]))


def preference_loss(first: Tensor, second: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of softmax(first, second) [N] with the label, less a tie's least value log 2, weighted.

    A tie is so worth 0 where both scores are equal. Weights [N] are normalised to a sum of 1.
    """
    log_first, log_second = F.logsigmoid(first - second), F.logsigmoid(second - first)
    loss = -(label * log_first + (1 - label) * log_second) - math.log(2) * (label == 0.5)
    return (loss * weight).sum() / weight.sum()


def rate(step: int, config: SPMConfig) -> float:
    """The learning rate's factor at step 0, 1, ...: a linear rise over the warm-up, then a linear fall to 0."""
    rise = (step + 1) / config.warm_up
    return min(rise, (config.steps - step) / max(1, config.steps - config.warm_up), 1.0)


class Noiser:
    """From pictures to the frozen base model's predictions x̂0 at a timestep, as pictures again."""

    def __init__(self, backbone: Backbone, guidance_scale: float) -> None:
        # 999 steps over the 1000 training timesteps: step index k is timestep k, and 0 is allowed
        self.policy: Policy = make_policy(backbone, TIMES - 1, 1.0, guidance_scale)
        self.vae, self.decoder = backbone.vae, Decoder(backbone)
        self.encoding = Splitter("encoding pictures", row="picture")

    @torch.no_grad()
    def __call__(
        self, pictures: Sequence[Tensor], tau: Tensor, prompts: Sequence[str], generator: torch.Generator
    ) -> list[Tensor]:
        """x̂0 pictures [N, 3, H, W] of each of the given sets of N pictures, all with one noise; tau int64 [N]."""
        cond, times = self.policy.encode(prompts), len(pictures)
        device = self.policy.backbone.device
        latents = torch.cat([self._latents(part, generator) for part in pictures])
        eps = torch.randn(latents[: len(prompts)].shape, generator=generator).to(device).repeat(times, 1, 1, 1)
        k, schedule = tau.to(device).repeat(times), self.policy.schedule
        signal, noise = (table[k].view(-1, 1, 1, 1) for table in (schedule.signal_scale, schedule.noise_scale))
        x = signal * latents + noise * eps
        many = cond.repeat(times)
        e = self.policy.denoising(lambda rows: self.policy.eps(x[rows], k[rows], many[rows]), len(x))
        return list(self.decoder(schedule.x0(x, e, k)).chunk(times))

    def _latents(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        parts = [part for _, part in self.encoding.parts(lambda rows: self._posterior(pictures[rows]), len(pictures))]
        mean, std = (torch.cat(each) for each in zip(*parts, strict=True))
        draw = torch.randn(mean.shape, generator=generator).to(mean.device)
        return ((mean + std * draw) * self.vae.config.scaling_factor).float()

    def _posterior(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the latents of pictures [N, 3, H, W] in [0, 1], [N, C, h, w] each."""
        posterior = self.vae.encode((2 * pictures - 1).to(self.vae.device, self.vae.dtype)).latent_dist
        return posterior.mean, posterior.std


def trained_parameters(network: Any, parts: Literal["vision", "added"]) -> list[torch.nn.Parameter]:
    """The parameters to train of a StepAwareCLIP, and nothing else of it trainable."""
    network.requires_grad_(False)
    chosen = list(network.added_parameters().values())
    if parts == "vision":
        model = network.model
        chosen += [*model.vision_model.parameters(), *model.visual_projection.parameters()]
    for parameter in chosen:
        parameter.requires_grad_(True)
    return list(dict.fromkeys(chosen))


class Judge(Protocol):
    """What is trained: a StepScorer, or something that scores like one."""

    def score_at(self, images: Tensor, prompts: Sequence[str], tau: Tensor) -> Tensor:
        """Scores [N] of pictures [N, 3, H, W] in [0, 1] at timesteps [N]."""


def train_spm(
    judge: Judge, network: Any, backbone: Backbone, pairs: Pairs | PairSet, config: SPMConfig, seed: int, log: Callable
) -> float:
    """Trains the network inside the judge in place; returns the last loss.

    Errors: RunError (loss not finite), CorruptError (a pair on disk cannot be used, where its set says to stop).
    """
    generator = torch.Generator().manual_seed(seed)
    noiser = Noiser(backbone, config.guidance_scale)
    parameters = trained_parameters(network, config.parts)
    optimiser = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
    if isinstance(pairs, Pairs):
        batches = drawn(pairs, config.batch, generator)
    else:
        batches = streamed(pairs, backbone.image_size, config.batch, seed, log)
    fits = Splitter("in training", row="pair", graph=True, log=log)
    for step in range(config.steps):
        batch = next(batches)
        tau = torch.randint(TIMES, (config.batch,), generator=generator)
        first, second = noiser([batch.first, batch.second], tau, batch.prompts, generator)
        predicted = batch._replace(first=first, second=second)

        def gradients(predicted: Drawn = predicted, tau: Tensor = tau) -> float:
            optimiser.zero_grad()
            return backward(judge, predicted, tau, fits.size or len(tau))

        loss = fits.again(gradients, len(tau))
        if not math.isfinite(loss):
            raise RunError(f"the loss is {loss} at step {step}", "it is not finite", "lower the learning rate")
        torch.nn.utils.clip_grad_norm_(parameters, config.grad_clip)
        for group in optimiser.param_groups:
            group["lr"] = config.lr * rate(step, config)
        optimiser.step()
        if (step + 1) % max(1, config.steps // 20) == 0:
            log(f"spm {step + 1}/{config.steps} loss {loss:.4f}")
    network.requires_grad_(False)
    return loss


def backward(judge: Judge, predicted: Drawn, tau: Tensor, size: int) -> float:
    """The loss of a batch of pairs, whose pictures are predictions x̂0; gradients add up, ``size`` pairs at a time."""
    device, total = predicted.first.device, 0.0
    label, weight, times = (value.to(device) for value in (predicted.label, predicted.weight, tau))
    for start in range(0, len(tau), size):
        rows = slice(start, start + size)
        pictures = torch.cat([predicted.first[rows], predicted.second[rows]])
        scores = judge.score_at(pictures, predicted.prompts[rows] * 2, times[rows].repeat(2))
        share = weight[rows].sum() / weight.sum()  # each part of the pairs has its own mean
        first, second = scores.chunk(2)
        loss = share * preference_loss(first, second, label[rows], weight[rows])
        loss.backward()
        total += float(loss.detach())
    return total


@torch.no_grad()
def compare(
    judges: dict[str, Callable[[Tensor, Sequence[str], Tensor], Tensor]],
    backbone: Backbone,
    pairs: Pairs,
    truth: Tensor,
    taus: Sequence[int],
    guidance_scale: float,
    seed: int,
    chunk: int = 50,
) -> dict[str, dict[str, list[bool]]]:
    """Judge -> timestep -> for each pair whether its order is that of ``truth`` [N] (> 0: the first is better).

    All judges see the same predictions.
    """
    noiser, generator = Noiser(backbone, guidance_scale), torch.Generator().manual_seed(seed)
    right: dict[str, dict[str, list[bool]]] = {name: {str(t): [] for t in taus} for name in judges}
    for t in taus:
        for start in range(0, len(pairs), chunk):
            rows = slice(start, start + chunk)
            prompts = list(pairs.prompts[rows])
            tau = torch.full((len(prompts),), t)
            seen = torch.cat(noiser([pairs.first[rows], pairs.second[rows]], tau, prompts, generator))
            for name, judge in judges.items():
                first, second = judge(seen, prompts * 2, tau.repeat(2).to(seen.device)).cpu().chunk(2)
                right[name][str(t)] += ((first > second) == (truth[rows] > 0)).tolist()
    return right
