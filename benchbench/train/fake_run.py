"""A training run on fake CUDA tensors: each of its parts is run once at a number of rows, and its peak is read off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchbench.config import RunConfig
from benchbench.diffusion.compile import speed_up
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.fake_cuda import LiveMemory, fake_backbone
from benchbench.diffusion.finetuned import train_all
from benchbench.diffusion.guidance import StepReward, guide
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import make_policy
from benchbench.noise import Noise
from benchbench.train.cost_estimate import Sizes
from benchbench.train.reward_memory import Ballast, RewardMemory
from benchbench.train.setup import make_optimizer
from benchbench.types import Batch, Cond

STEP = 1  # a denoising step: all take the same memory


class FakeRun:
    """The run's weights, adapter, optimiser and reward on the fake device, as ``setup.build`` has them on a real one.

    Made and used within ``fake_cuda`` and ``live``. ``base`` is what is alive between two optimiser steps, gradients
    too; each part of the run gives how far its peak, at a number of rows, lies above that, in bytes.
    """

    def __init__(self, config: RunConfig, dtype: str, sizes: Sizes, reward: RewardMemory, live: LiveMemory) -> None:
        self.config, self.live = config, live
        train, sampler = config.train, config.sampler
        full = train.finetune == "full"
        self.backbone = fake_backbone(config.model, dtype, "fp32" if full else None)
        self.policy = make_policy(self.backbone, sampler.steps, sampler.eta, sampler.guidance_scale)
        if full:
            train_all(self.policy)
        else:
            add_lora(self.backbone.network, train.lora_rank, train.lora_alpha, config.seed)
        speed_up([self.backbone.network, self.backbone.vae], False, train.channels_last)
        self.parameters = self.policy.parameters()
        self.optimizer = make_optimizer(train, self.parameters)
        self.reward = StepReward(Decoder(self.backbone), Ballast(reward), self.policy)
        self.method, self.cfg, self.noise = config.method_class(), config.method_config, Noise(0, "memory")
        self.cond = self.policy.encode(["x"])
        self.batch = self._enlarged(sizes.batch)
        self.first, self.updating = self._first_update()
        self.base = live.now
        self.first, self.updating = self.first - self.base, self.updating - self.base

    def _enlarged(self, small: Batch) -> Batch:
        """Returns this kind of batch with latents of the model's size."""
        made: dict[str, Any] = {}
        for name, value in small.rows().items():
            if isinstance(value, Cond):
                made[name] = self.cond.repeat(len(small))
            elif value.dim() > 1:
                made[name] = self._latents(len(small))
            else:
                made[name] = torch.full((len(small),), STEP, dtype=value.dtype, device="cuda")
        return replace(small, **made)

    def _latents(self, rows: int) -> Tensor:
        return torch.empty(rows, *self.backbone.latent_shape, device="cuda")

    def _first_update(self) -> tuple[int, int]:
        """Peaks of the first optimiser step, on one row, with the optimiser's state, which is made at its end."""
        self._gradients(1)
        gradients, before = self.live.peak, self.live.now
        self.live.reset_peak()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.config.train.grad_clip)
        self.optimizer.step()
        return gradients + self.live.now - before, self.live.peak

    def _gradients(self, rows: int) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss, _ = self.method.loss(self.policy, self.batch[:rows], self.cfg, self.noise)
        loss.backward()

    def checkpoint(self, on: bool) -> None:
        """Gradient checkpointing of the UNet, and of the VAE, through which guidance differentiates."""
        for network in (self.backbone.network, self.backbone.vae):
            (network.enable_gradient_checkpointing if on else network.disable_gradient_checkpointing)()

    def train(self, rows: int) -> int:
        """Loss and gradients of so many rows of the batch."""
        self.live.reset_peak()
        self._gradients(rows)
        return self.live.peak - self.base

    @torch.no_grad()
    def walk(self, rows: int) -> int:
        """A denoising step of so many samples, without gradient."""
        self.live.reset_peak()
        k = torch.full((rows,), STEP, device="cuda")
        self.policy.step(self._latents(rows), k, self.cond.repeat(rows))
        return self.live.peak - self.base

    @torch.no_grad()
    def judge(self, rows: int) -> int:
        """So many images decoded at a time, and judged."""
        self.live.reset_peak()
        self.reward.decoder.fits.size = rows
        self.reward(self._latents(rows), ["x"] * rows, "memory", torch.tensor(STEP))
        self.reward._unchecked.clear()
        return self.live.peak - self.base

    def guide(self, rows: int) -> int:
        """The reward's gradient through the decoder and the UNet at so many samples."""
        self.live.reset_peak()
        self.reward.decoder.fits.size = rows
        guide(self.policy, self.reward, self._latents(rows), STEP, self.cond.repeat(rows), ["x"] * rows, 0.1, 0.5)
        self.reward._unchecked.clear()
        return self.live.peak - self.base
