"""The policy: a UNet that is trained, under classifier-free guidance, as a distribution over the next latents."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from benchbench.api import Cond
from benchbench.diffusion import text
from benchbench.diffusion.backbones import Backbone
from benchbench.diffusion.memory import Fitting
from benchbench.diffusion.schedule import Index, Schedule, Step
from benchbench.diffusion.text import Embedding
from benchbench.world import World

TEXTS_KEPT = 512  # prompts: most sets whole, and memory flat in larger ones; in fp32 120 MB of SD 1.5, 320 of SDXL


@dataclass
class Cost:
    """What has been computed, per sample and not per call. One guided evaluation is two forwards of the UNet.

    Of several processes each counts what it computes itself; pairs are those of the whole rollout, on every process.
    """

    unet_evals: int = 0  # guided evaluations without gradient
    unet_grads: int = 0  # guided evaluations with gradient, each of which costs about three
    reward_calls: int = 0  # a gradient through the reward is a call
    pairs: int = 0
    plain_evals: int = 0  # evaluations without guidance and without gradient: one forward each
    plain_grads: int = 0  # evaluations without guidance, with gradient

    @property
    def nfe(self) -> float:
        """Guided UNet evaluations, a backward pass counted as two more, an evaluation without guidance as a half."""
        halves = 2 * (self.unet_evals + 3 * self.unet_grads) + self.plain_evals + 3 * self.plain_grads
        return halves / 2 if halves % 2 else halves // 2


def summed(each: Sequence[dict[str, int]]) -> Cost:
    """What all processes of a run have computed, from the fields of each one's Cost."""
    total = {name: sum(one[name] for one in each) for name in each[0]}
    return Cost(**{**total, "pairs": each[0]["pairs"]})


@dataclass
class Policy:
    """pi_theta(x_{k-1} | x_k, c) of a backbone and a schedule.

    The reference policy is the same network with its adapter switched off, or, where every weight is trained, the
    frozen copy ``reference``; without either the two are one.
    """

    backbone: Backbone
    schedule: Schedule
    guidance_scale: float
    cost: Cost = field(default_factory=Cost)
    world: World = field(default_factory=World)
    reference: Any = None
    _texts: OrderedDict[str, Embedding] = field(default_factory=OrderedDict)
    _fitting: Fitting = field(default_factory=lambda: Fitting("denoising"))
    _lock: Lock = field(default_factory=Lock)  # of what rows that are evaluated side by side share
    _adapted: list[Any] = field(default_factory=list)  # the layers with an adapter, looked for once

    def encode(self, prompts: Sequence[str]) -> Cond:
        """Text embeddings of N prompts, [N, L, D]; those of the last ``TEXTS_KEPT`` distinct prompts are kept."""
        wanted = list(dict.fromkeys([*prompts, ""]))
        with self._lock:
            found = {prompt: self._texts[prompt] for prompt in wanted if prompt in self._texts}
        new = [prompt for prompt in wanted if prompt not in found]
        for i in range(0, len(new), 64):
            chunk = new[i : i + 64]
            found.update(zip(chunk, text.encode(self.backbone, chunk), strict=True))
        with self._lock:
            for prompt in wanted:
                self._texts[prompt] = found[prompt]
                self._texts.move_to_end(prompt)
            while len(self._texts) > TEXTS_KEPT:
                self._texts.popitem(last=False)
        return text.condition(self.backbone, [found[p] for p in prompts], found[""])

    def eps(self, x: Tensor, k: Index, cond: Cond) -> Tensor:
        """Guided noise prediction e = e_null + w (e_text - e_null), float32 [N, C, h, w], in one batched call.

        w = 1 is the text branch alone. Gradients, where enabled, flow through both branches.
        """
        rows = len(x)
        with self._lock:
            if torch.is_grad_enabled():
                self.cost.unet_grads += rows
            else:
                self.cost.unet_evals += rows
        tau = self.schedule.tau[k].expand(rows)
        if self.guidance_scale == 1:
            return text.noise(self.backbone.unet, x, tau, cond)
        both = text.with_null(cond, rows)
        e_null, e_text = text.noise(self.backbone.unet, torch.cat([x, x]), torch.cat([tau, tau]), both).chunk(2)
        return e_null + self.guidance_scale * (e_text - e_null)

    def predict(self, x: Tensor, tau: Tensor, cond: Cond) -> Tensor:
        """Noise prediction without guidance, float32 [N, C, h, w], at training timesteps tau int64 [N]."""
        if self.world.dividing and not torch.is_grad_enabled():  # as in step
            return self.world.rows(len(x), x.shape[1:], lambda rows: self.predict(x[rows], tau[rows], cond[rows]))
        if torch.is_grad_enabled():
            self.cost.plain_grads += len(x)
        else:
            self.cost.plain_evals += len(x)
        return text.noise(self.backbone.unet, x, tau, cond)

    def reference_predict(self, x: Tensor, tau: Tensor, cond: Cond) -> Tensor:
        """The same of the reference policy, without gradient."""
        with torch.no_grad(), self.adapter_off():
            return self.predict(x, tau, cond)

    def step(self, x: Tensor, k: Index, cond: Cond) -> Step:
        """The distribution of the next latents, from float32 latents x_k [N, C, h, w].

        Without gradient, rows that are too many for the memory go through the network in parts.
        """
        if torch.is_grad_enabled():  # a gradient does not pass between processes
            return self.schedule.step(x, self.eps(x, k, cond), k)

        def part(rows: slice) -> Tensor:
            counted = self.cost.unet_evals
            try:
                return self.eps(x[rows], k if isinstance(k, int) else k[rows], cond[rows])
            except torch.OutOfMemoryError:
                self.cost.unet_evals = counted  # what failed is done again
                raise

        def share(rows: slice) -> Tensor:
            def fits(some: slice) -> Tensor:
                return part(slice(rows.start + some.start, rows.start + some.stop))

            return self._fitting(fits, rows.stop - rows.start)

        return self.schedule.step(x, self.world.rows(len(x), x.shape[1:], share), k)

    def reference_step(self, x: Tensor, k: Index, cond: Cond) -> Step:
        """The same of the reference policy, without gradient."""
        with torch.no_grad(), self.adapter_off():
            return self.step(x, k, cond)

    @contextmanager
    def adapter_off(self) -> Iterator[None]:
        """The reference within the block: ``backbone.unet`` is the base model, whichever way it is trained."""
        own, unet = self.backbone, self.backbone.unet
        if self.reference is not None:
            self.backbone = replace(own, unet=self.reference)
            try:
                yield
            finally:
                self.backbone = own
        elif getattr(unet, "peft_config", None):
            self._switch(False)
            try:
                yield
            finally:
                self._switch(True)
        else:
            yield

    @property
    def threads(self) -> int:
        """How many may ask the network side by side: one on GPUs, of several processes, and where it is compiled."""
        if self.backbone.device.type != "cpu" or self.world.size > 1:
            return 1
        compiled = any(module._compiled_call_impl is not None for module in self.backbone.unet.modules())
        return 1 if compiled else torch.get_num_threads()

    def _switch(self, on: bool) -> None:
        """What diffusers' enable_adapters and disable_adapters do, without walking through the network each time."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        if not self._adapted:
            self._adapted += [m for m in self.backbone.unet.modules() if isinstance(m, BaseTunerLayer)]
        for layer in self._adapted:
            layer.enable_adapters(on)

    def parameters(self) -> list[torch.nn.Parameter]:
        """The trainable parameters, in the network's order."""
        return [p for p in self.backbone.unet.parameters() if p.requires_grad]


def make_policy(backbone: Backbone, steps: int, eta: float, guidance_scale: float) -> Policy:
    """A policy over the backbone's own noise schedule."""
    schedule = Schedule.from_config(backbone.scheduler_config, steps, eta).to(backbone.device)
    return Policy(backbone, schedule, guidance_scale)
