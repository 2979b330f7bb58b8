"""Trains a step-aware preference model on pairs of pictures (SPO, arXiv:2406.04314, section 4.4).

Both pictures of a pair are noised to the same timestep t with the same noise, and the frozen base model predicts each
one's x̂0 with guidance. Given t, the model learns to prefer the prediction that belongs to the preferred picture.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from benchbench.diffusion.backbones import Backbone
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.encode import scaled
from benchbench.diffusion.flow_schedule import SCHEDULER
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.errors import RunError
from benchbench.noise import Noise
from benchbench.pairs.dataset import PairSet
from benchbench.pairs.stream import PairStream
from benchbench.runtime.files import Log
from benchbench.runtime.memory import Splitter

TIMES = 1000  # training timesteps of the base model


class SPMConfig(BaseModel):
    """The settings. Defaults are those of the released code for SD 1.5, whose effective batch is ambiguous."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    steps: int = Field(8000, ge=1, description="optimizer steps [code]")
    batch: int = Field(64, ge=1, description="pairs a step [code: 16 on each of 4 GPUs]")
    lr: float = Field(3e-6, gt=0, description="highest learning rate of AdamW [code]")
    weight_decay: float = Field(0.3, ge=0, description="AdamW weight decay [code]")
    warm_up: int = Field(
        500, ge=1, description="steps in which the rate rises linearly; then it falls linearly to 0 [code]"
    )
    grad_clip: float = Field(1.0, gt=0, description="largest gradient norm [code]")
    guidance_scale: float = Field(5.0, ge=0, description="guidance scale of the predictions x̂0 [code]")
    parts: Literal["vision", "added"] = Field(
        "vision", description="what is trained: image tower and step-aware layers [code], or only those layers [ours]"
    )


@dataclass(frozen=True)
class PicturePairs:
    """N prompts with two pictures each, [N, 3, H, W] in [0, 1]; label 1 prefers the first, 0 the second, .5 neither."""

    prompts: Sequence[str]
    first: Tensor
    second: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.prompts)


class PairBatch(NamedTuple):
    """The batch of a step: B prompts, two pictures each, the labels, and weights 1 / (pairs of the same prompt)."""

    prompts: list[str]
    first: Tensor
    second: Tensor
    label: Tensor
    weight: Tensor


def batches_in_memory(pairs: PicturePairs, batch: int, generator: torch.Generator) -> Iterator[PairBatch]:
    """Yields batches of pairs in memory without end, one random order after another."""
    pairs_of = Counter(pairs.prompts)
    weight = torch.tensor([1 / pairs_of[prompt] for prompt in pairs.prompts])
    order: list[int] = []
    while True:
        while len(order) < batch:
            order += torch.randperm(len(pairs), generator=generator).tolist()
        index, order = torch.tensor(order[:batch]), order[batch:]
        prompts = [pairs.prompts[i] for i in index]
        yield PairBatch(prompts, pairs.first[index], pairs.second[index], pairs.label[index], weight[index])


def batches_from_disk(pairs: PairSet, resolution: int, batch: int, seed: int, log: Log) -> Iterator[PairBatch]:
    """Yields batches of pairs on disk without end, not flipped, the winner first; logs the rows that it skips."""
    pairs_of = Counter(pairs.captions())
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
        yield PairBatch(prompts, first, second, label, torch.tensor([1 / pairs_of[prompt] for prompt in prompts]))


def preference_loss(first: Tensor, second: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    """Returns the weighted mean, a scalar, of the cross-entropy between softmax(first, second) and the label, [N] each.

    log 2, the least cross-entropy of a tie, is subtracted from ties, so that a tie with equal scores has the loss 0.
    """
    log_first, log_second = F.logsigmoid(first - second), F.logsigmoid(second - first)
    loss = -(label * log_first + (1 - label) * log_second) - math.log(2) * (label == 0.5)
    return (loss * weight).sum() / weight.sum()


def rate(step: int, config: SPMConfig) -> float:
    """Returns the learning rate's factor at a step, counted from 0: a linear rise in the warm-up, then a fall to 0."""
    rise = (step + 1) / config.warm_up
    return min(rise, (config.steps - step) / max(1, config.steps - config.warm_up), 1.0)


def policy_of_all_times(backbone: Backbone, guidance_scale: float) -> Policy:
    """Returns a policy whose step index k is the timestep k: 0 to 999, and with flow matching to 1000."""
    if backbone.scheduler_config.get("_class_name") == SCHEDULER:
        return make_policy(backbone, TIMES, None, guidance_scale, dynamics="ode", grid="plain", shift=1.0)
    return make_policy(backbone, TIMES - 1, 1.0, guidance_scale)  # of 1000 times, the schedule has 0 beside its steps


class Noiser:
    """Noises pictures and returns the frozen base model's predictions x̂0 of them, decoded."""

    def __init__(self, backbone: Backbone, guidance_scale: float) -> None:
        self.policy = policy_of_all_times(backbone, guidance_scale)
        self.vae, self.decoder = backbone.vae, Decoder(backbone)
        self.encoding = Splitter("encoding pictures", row="picture")

    @torch.no_grad()
    def __call__(
        self, pictures: Sequence[Tensor], tau: Tensor, prompts: Sequence[str], generator: torch.Generator
    ) -> list[Tensor]:
        """Returns, for each set of pictures [N, 3, H, W], their decoded x̂0; tau is int64 [N].

        Picture i of every set gets the same noise and the timestep ``tau[i]``.
        """
        cond, sets = self.policy.encode(prompts), len(pictures)
        device = self.policy.backbone.device
        latents = torch.cat([self._latents(part, generator) for part in pictures])
        eps = torch.randn(latents[: len(prompts)].shape, generator=generator).to(device).repeat(sets, 1, 1, 1)
        k, schedule = tau.to(device).repeat(sets), self.policy.schedule
        signal, noise = (table[k].view(-1, 1, 1, 1) for table in (schedule.signal_scale, schedule.noise_scale))
        x = signal * latents + noise * eps
        all_cond = cond.repeat(sets)
        p = self.policy.denoising(lambda rows: self.policy.prediction(x[rows], k[rows], all_cond[rows]), len(x))
        return list(self.decoder(schedule.split(x, p, k)[0]).chunk(sets))

    def _latents(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        parts = [part for _, part in self.encoding.parts(lambda rows: self._posterior(pictures[rows]), len(pictures))]
        mean, std = (torch.cat(column) for column in zip(*parts, strict=True))
        z = torch.randn(mean.shape, generator=generator).to(mean.device)
        return scaled(self.vae, mean + std * z).float()

    def _posterior(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and standard deviation [N, C, h, w] of the latents of pictures [N, 3, H, W] in [0, 1]."""
        posterior = self.vae.encode((2 * pictures - 1).to(self.vae.device, self.vae.dtype)).latent_dist
        return posterior.mean, posterior.std


def trained_parameters(network: Any, parts: Literal["vision", "added"]) -> list[torch.nn.Parameter]:
    """Returns the parameters of a StepAwareCLIP to train, and freezes all others."""
    network.requires_grad_(False)
    parameters: list[torch.nn.Parameter] = list(network.added_parameters().values())
    if parts == "vision":
        model = network.model
        parameters += [*model.vision_model.parameters(), *model.visual_projection.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    return list(dict.fromkeys(parameters))


class TrainableScorer(Protocol):
    """The scorer to train: a StepScorer, or an object with the same ``score_at``."""

    def score_at(self, images: Tensor, prompts: Sequence[str], tau: Tensor) -> Tensor:
        """Returns scores [N] of pictures [N, 3, H, W] in [0, 1] at timesteps [N]."""


def train_spm(
    scorer: TrainableScorer,
    network: Any,
    backbone: Backbone,
    pairs: PicturePairs | PairSet,
    config: SPMConfig,
    seed: int,
    log: Log,
) -> float:
    """Trains the scorer's ``network`` in place and returns the last loss.

    Errors: RunError for a loss that is not finite; CorruptError for a pair that cannot be read, where its set does not
    skip such pairs.
    """
    generator = torch.Generator().manual_seed(seed)
    noiser = Noiser(backbone, config.guidance_scale)
    parameters = trained_parameters(network, config.parts)
    optimizer = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
    if isinstance(pairs, PicturePairs):
        batches = batches_in_memory(pairs, config.batch, generator)
    else:
        batches = batches_from_disk(pairs, backbone.image_size, config.batch, seed, log)
    splitter = Splitter("in training", row="pair", graph=True, log=log)
    for step in range(config.steps):
        batch = next(batches)
        tau = torch.randint(TIMES, (config.batch,), generator=generator)
        first, second = noiser([batch.first, batch.second], tau, batch.prompts, generator)
        predicted = batch._replace(first=first, second=second)

        def gradients(predicted: PairBatch = predicted, tau: Tensor = tau) -> float:
            optimizer.zero_grad()
            return backward(scorer, predicted, tau, splitter.size or len(tau))

        loss = splitter.with_restarts(gradients, len(tau))
        if not math.isfinite(loss):
            raise RunError(f"the loss is {loss} at step {step}", "it is not finite", "lower the learning rate")
        torch.nn.utils.clip_grad_norm_(parameters, config.grad_clip)
        for group in optimizer.param_groups:
            group["lr"] = config.lr * rate(step, config)
        optimizer.step()
        if (step + 1) % max(1, config.steps // 20) == 0:
            log(f"spm {step + 1}/{config.steps} loss {loss:.4f}")
    network.requires_grad_(False)
    return loss


def backward(scorer: TrainableScorer, predicted: PairBatch, tau: Tensor, size: int) -> float:
    """Adds up the gradients of a batch of predictions x̂0, ``size`` pairs at a time, and returns its loss."""
    device, total = predicted.first.device, 0.0
    label, weight, times = (value.to(device) for value in (predicted.label, predicted.weight, tau))
    for start in range(0, len(tau), size):
        rows = slice(start, start + size)
        pictures = torch.cat([predicted.first[rows], predicted.second[rows]])
        scores = scorer.score_at(pictures, predicted.prompts[rows] * 2, times[rows].repeat(2))
        share = weight[rows].sum() / weight.sum()  # preference_loss takes the mean over this part alone
        first, second = scores.chunk(2)
        loss = share * preference_loss(first, second, label[rows], weight[rows])
        loss.backward()
        total += float(loss.detach())
    return total


@torch.no_grad()
def compare(
    scorers: Mapping[str, Callable[[Tensor, Sequence[str], Tensor], Tensor]],
    backbone: Backbone,
    pairs: PicturePairs,
    truth: Tensor,
    taus: Sequence[int],
    guidance_scale: float,
    seed: int,
    chunk: int = 50,
) -> dict[str, dict[str, list[bool]]]:
    """Returns, by scorer and timestep, for each pair whether the scorer orders it as ``truth`` [N] does.

    ``truth`` is positive where the first picture is better. All scorers see the same predictions.
    """
    noiser, generator = Noiser(backbone, guidance_scale), torch.Generator().manual_seed(seed)
    right: dict[str, dict[str, list[bool]]] = {name: {str(t): [] for t in taus} for name in scorers}
    for t in taus:
        for start in range(0, len(pairs), chunk):
            rows = slice(start, start + chunk)
            prompts = list(pairs.prompts[rows])
            tau = torch.full((len(prompts),), t)
            predicted = torch.cat(noiser([pairs.first[rows], pairs.second[rows]], tau, prompts, generator))
            for name, score in scorers.items():
                first, second = score(predicted, prompts * 2, tau.repeat(2).to(predicted.device)).cpu().chunk(2)
                right[name][str(t)] += ((first > second) == (truth[rows] > 0)).tolist()
    return right
