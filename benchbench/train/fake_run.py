"""Runs each part of a training run once on fake CUDA tensors and measures its peak memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchbench.config import RunConfig
from benchbench.diffusion import text
from benchbench.diffusion.compile import speed_up
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.fake_cuda import LiveMemory, fake_backbone
from benchbench.diffusion.finetuned import make_trainable
from benchbench.diffusion.guidance import StepReward, guide
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import PROMPTS_AT_A_TIME, make_policy
from benchbench.diffusion.weight_copy import WeightCopy
from benchbench.noise import Noise
from benchbench.train.cost_estimate import Sizes
from benchbench.train.optimizer import make_optimizer
from benchbench.train.reward_memory import Ballast, RewardMemory
from benchbench.types import Batch, Cond, LastSteps

STEP = 1  # the denoising step that is run; all take the same memory
FEW = 3  # steps taken again with gradient; each one more takes as much memory as the last of these


class FakeRun:
    """Holds the run's weights, adapter, optimizer and reward on the fake device, as ``setup.build`` makes them.

    Create and use it within ``fake_cuda`` and ``live``. ``base`` is the memory between two optimizer steps in bytes,
    with gradients. ``train``, ``denoise``, ``score`` and ``guide`` each run one part of the run on a number of rows and
    return how many bytes its peak lies above ``base``.
    """

    def __init__(self, config: RunConfig, dtype: str, sizes: Sizes, reward: RewardMemory, live: LiveMemory) -> None:
        self.config, self.live = config, live
        train, sampler = config.train, config.sampler
        full = train.finetune == "full"
        self.backbone = fake_backbone(config.model, dtype, "fp32" if full else None)
        self.policy = make_policy(self.backbone, **sampler.making)
        if full:
            make_trainable(self.policy)
        else:
            add_lora(self.backbone.network, train.lora_rank, train.lora_alpha, config.seed)
        speed_up([self.backbone.network, self.backbone.vae], False, train.channels_last)
        self.parameters = self.policy.parameters()
        self.optimizer = make_optimizer(train, self.parameters)
        self.step_reward = StepReward(Decoder(self.backbone), Ballast(reward), self.policy)
        self.method, self.cfg, self.noise = config.method_class(), config.method_config, Noise(0, "memory")
        if "old" in self.method.needs(self.cfg):
            self.policy.keep_old()
        self.average = WeightCopy(self.parameters) if train.ema else None
        self.cond = self.policy.encode(["x"])
        self.batch = self._enlarged(sizes.batch)
        with self._of_steps(1):
            gradients, update = self._first_update()
        self.base = live.now
        self.update = max(update, self._reading()) - self.base
        self.train_one_row = self.train(1) if self._last_steps > 1 else gradients - self.base

    def _enlarged(self, small: Batch) -> Batch:
        """Returns a batch of the same class and length with latents of the model's size."""
        fields: dict[str, Any] = {}
        for name, value in small.rows().items():
            if isinstance(value, Cond):
                fields[name] = self.cond.repeat(len(small))
            elif value.dim() > 1:
                fields[name] = torch.empty(*value.shape[:-3], *self.backbone.latent_shape, device="cuda")
            else:
                fields[name] = torch.full((len(small),), STEP, dtype=value.dtype, device="cuda")
        return replace(small, **fields)

    def _latents(self, rows: int) -> Tensor:
        return torch.empty(rows, *self.backbone.latent_shape, device="cuda")

    def _first_update(self) -> tuple[int, int]:
        """Returns the peak bytes of one row's gradients and of the optimizer step, both with the optimizer's state."""
        self._gradients(1)
        gradients, before = self.live.peak, self.live.now
        self.live.reset_peak()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.config.train.grad_clip)
        self.optimizer.step()
        return gradients + self.live.now - before, self.live.peak

    def _reading(self) -> int:
        """Returns the peak bytes while prompts are read, for which T5 of SD 3 comes to the device."""
        self.live.reset_peak()
        text.encode(self.backbone, ["x"] * PROMPTS_AT_A_TIME)
        return self.live.peak

    def _gradients(self, rows: int) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss, _ = self.method.loss(self.policy, self.batch[:rows], self.cfg, self.noise)
        loss.backward()

    def set_gradient_checkpointing(self, on: bool) -> None:
        """Turns gradient checkpointing on or off in the network and in the VAE, which guidance differentiates."""
        for network in (self.backbone.network, self.backbone.vae):
            (network.enable_gradient_checkpointing if on else network.disable_gradient_checkpointing)()

    def train(self, rows: int) -> int:
        """Computes loss and gradients of the first ``rows`` rows of the batch, through ``FEW`` last steps at most."""
        if self._last_steps <= FEW:
            return self._trained(rows)
        with self._of_steps(FEW - 1):
            fewer = self._trained(rows)
        with self._of_steps(FEW):
            few = self._trained(rows)
        return few + (self._last_steps - FEW) * (few - fewer)

    def _trained(self, rows: int) -> int:
        self.live.reset_peak()
        self._gradients(rows)
        return self.live.peak - self.base

    @property
    def _last_steps(self) -> int:
        """The number of steps that the loss takes again; 0 for a loss that takes none."""
        return self.batch.z.shape[1] if isinstance(self.batch, LastSteps) else 0

    @contextmanager
    def _of_steps(self, steps: int) -> Iterator[None]:
        """Lets the loss take no more than so many steps again; the noise of all of them stays in memory."""
        whole = self.batch
        if isinstance(whole, LastSteps):
            self.batch = replace(whole, z=whole.z[:, :steps])
        try:
            yield
        finally:
            self.batch = whole

    @torch.no_grad()
    def denoise(self, rows: int) -> int:
        """Takes a denoising step of ``rows`` samples without gradient."""
        self.live.reset_peak()
        k = torch.full((rows,), STEP, device="cuda")
        self.policy.step(self._latents(rows), k, self.cond.repeat(rows))
        return self.live.peak - self.base

    @torch.no_grad()
    def score(self, rows: int) -> int:
        """Decodes and scores ``rows`` images at a time."""
        self.live.reset_peak()
        self.step_reward.decoder.splitter.size = rows
        self.step_reward(self._latents(rows), ["x"] * rows, "memory", torch.tensor(STEP))
        self.step_reward._unchecked.clear()
        return self.live.peak - self.base

    def guide(self, rows: int) -> int:
        """Differentiates the reward of ``rows`` samples through the decoder and the network.

        A method that takes the last steps again differentiates finished images, without the network.
        """
        self.live.reset_peak()
        k = 0 if isinstance(self.batch, LastSteps) else STEP
        self.step_reward.decoder.splitter.size = rows
        guide(self.policy, self.step_reward, self._latents(rows), k, self.cond.repeat(rows), ["x"] * rows, 0.1, 0.5)
        self.step_reward._unchecked.clear()
        return self.live.peak - self.base
