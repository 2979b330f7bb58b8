"""DiffusionNFT: reinforcement by the forward process, with an implicit good and a bad policy around an old one.

Zheng et al., "DiffusionNFT: Online Diffusion Reinforcement with Forward Process", arXiv:2509.16117.

| name here | symbol | meaning |
|---|---|---|
| ``v``, ``v_old``, ``v_ref`` | v_theta, v_old, v_ref | predictions of the trained, the old and the base model at x_t |
| ``b`` | beta | distance of the two implicit policies from the old one |
| ``r`` | r | optimality probability of an image, in [0, 1] |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from benchbench.api import (
    Images,
    Method,
    MethodConfig,
    Metrics,
    Need,
    Noise,
    NoiseSource,
    Policy,
    Sample,
    StepReward,
    copy_to_device,
    mse,
    rollout,
)

from ._advantage import group_advantages
from ._steps import minibatch_rows

SMALLEST = 1e-5
"""The smallest mean absolute error that a squared error is divided by, as in the released code."""


class DiffusionNFTConfig(MethodConfig):
    """Settings; the defaults are those of the released code for SD 3.5 medium."""

    group: int = Field(24, ge=2, description="K, images of one prompt [code]")
    deviation: Literal["group", "batch"] = Field(
        "batch", description="rewards are divided by the rollout's deviation [code], or by their group's [option]"
    )
    advantage_clip: float = Field(5.0, gt=0, description="c, largest |advantage|; r is 0 or 1 there [code]")
    b: float = Field(1.0, gt=0, description="distance of the implicit policies from the old one [code: 1 or .1]")
    kl: float = Field(1e-4, ge=0, description="weight of the squared distance from the base model [code]; 0: none")
    timestep_fraction: float = Field(
        0.99, gt=0, le=1, description="share of the sampler's times at which each image is noised [code]"
    )
    inner_epochs: int = Field(1, ge=1, description="passes over one rollout, each with other noise [code]")
    minibatch: int = Field(24, ge=1, description="images per optimizer step, each at all of its times [ours]")
    old_rate: float = Field(
        0.001, ge=0, description="the old policy's decay is this times the optimizer steps so far [code]; 0: on-policy"
    )
    old_most: float = Field(0.5, ge=0, lt=1, description="largest decay of the old policy [code: .5; others to .999]")


@dataclass(frozen=True)
class Noised(Images):
    """Images of the old policy with r as the label; ``draw`` is a number of image, epoch and time."""

    k: Tensor  # [N] int64, the index of the time in the sampler's grid


class DiffusionNFT(Method[DiffusionNFTConfig]):
    """Denoising errors of an implicit good policy and of a bad one, weighted by the reward of the old policy's images.

    1. Sample K images a prompt by the old policy, by any sampler; 2. r = 1/2 + clip(A, -c, c)/(2 c) of the advantages
    A in their group; 3. noise each image at random times of the sampler; 4. v+ = (1 - b) v_old + b v and
    v- = (1 + b) v_old - b v; 5. loss r |x̂0(v+) - x0|² + (1 - r) |x̂0(v-) - x0|², each over its mean absolute error;
    6. after the rollout, v_old moves towards v.
    """

    name = "diffusion-nft"
    paper = "arXiv:2509.16117, Alg. 1"
    needs_noise = False
    Config = DiffusionNFTConfig

    @classmethod
    def images(cls, cfg: DiffusionNFTConfig) -> int:
        """Returns K."""
        return cfg.group

    @classmethod
    def needs(cls, cfg: DiffusionNFTConfig) -> frozenset[Need]:
        """Returns the need for an old policy, and for a reference where the loss holds the policy near it."""
        return frozenset({"old", "reference"}) if cfg.kl else frozenset({"old"})

    @classmethod
    def old_decay(cls, cfg: DiffusionNFTConfig, updates: int) -> float:
        """Returns min(rate * updates, most): on-policy at first, an average of many rollouts later on."""
        return min(cfg.old_rate * updates, cfg.old_most)

    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: DiffusionNFTConfig, noise: Noise
    ) -> Iterator[tuple[Noised, Metrics]]:
        """Rolls out K images of every sample's prompt by the old policy; yields a Batch for each minibatch."""
        K, T = cfg.group, policy.schedule.steps
        images = [sample._replace(number=K * sample.number + i) for sample in samples for i in range(K)]
        prompts = [image.prompt for image in images]
        cond, draws = policy.encode(prompts), NoiseSource(policy, noise, images)
        with policy.old():
            for visit in rollout(policy, cond, draws.start(), draws.z):
                x0 = visit.x
        rewards = reward(x0, prompts, "step 0")

        advantage = group_advantages(rewards.tolist(), K, own_deviation=cfg.deviation == "group")
        A = torch.tensor(advantage, device=rewards.device).clamp(-cfg.advantage_clip, cfg.advantage_clip)
        r = 0.5 + A / (2 * cfg.advantage_clip)

        metrics = {"reward": rewards.mean(), "advantage_abs": A.abs().mean()}
        numbers, n = torch.tensor([image.number for image in images]), len(images)
        deal = partial(minibatch_rows, n, T, cfg.minibatch, cfg.timestep_fraction, noise, images[0].number)
        for epoch in range(cfg.inner_epochs):
            for rows in deal(epoch, device=torch.device("cpu")):  # where noise is drawn
                image, k = rows % n, T - rows // n
                draw = (numbers[image] * cfg.inner_epochs + epoch) * (T + 1) + k
                i = copy_to_device(image, r.device)
                yield Noised(x0[i], cond[i], draw, r[i], copy_to_device(k, r.device)), metrics

    def loss(self, policy: Policy, batch: Noised, cfg: DiffusionNFTConfig, noise: Noise) -> tuple[Tensor, Metrics]:
        """Returns the mean over rows of c/b (r E(v+) + (1 - r) E(v-)) + kl |v - v_ref|², without guidance."""
        schedule, x0, b = policy.schedule, batch.x, cfg.b
        rows, tau = [Sample("", number) for number in batch.draw.tolist()], schedule.tau[batch.k]
        eps = noise.normal(rows, "eps", shape=tuple(x0.shape[1:]), device=x0.device)
        x = schedule.add_noise(x0, eps, tau)
        v_old, v = policy.old_predict(x, tau, batch.cond), policy.predict(x, tau, batch.cond)

        def E(prediction: Tensor) -> Tensor:
            """Returns the squared error of x̂0 over its own mean absolute error, which has no gradient: [N]."""
            error = schedule.split(x, prediction, batch.k)[0] - x0
            size = error.detach().double().abs().flatten(1).mean(1).clamp(min=SMALLEST)
            return error.square().flatten(1).mean(1) / size.float()

        good, bad = E((1 - b) * v_old + b * v), E((1 + b) * v_old - b * v)
        loss = cfg.advantage_clip / b * (batch.label * good + (1 - batch.label) * bad).mean()
        metrics = {"off_policy": mse(v.detach(), v_old).mean()}
        if not cfg.kl:
            return loss, metrics
        kl = mse(v, policy.reference_predict(x, tau, batch.cond)).mean()
        return loss + cfg.kl * kl, {**metrics, "kl": kl.detach()}
