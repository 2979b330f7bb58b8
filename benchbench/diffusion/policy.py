"""The policy: a UNet with LoRA, under classifier-free guidance, as a distribution over the next latents."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from benchbench.api import Cond
from benchbench.diffusion.backbones import Backbone
from benchbench.diffusion.memory import Fitting
from benchbench.diffusion.schedule import Index, Schedule, Step

TEXT_CACHE_BYTES = 32 * 2**20  # bounds memory whatever the number of prompts: 140 of SD 1.5, 4,300 of shapes


@dataclass
class Cost:
    """What has been computed, per sample and not per call. One guided evaluation is two forwards of the UNet."""

    unet_evals: int = 0  # guided evaluations without gradient
    unet_grads: int = 0  # guided evaluations with gradient, each of which costs about three
    reward_calls: int = 0  # a gradient through the reward is a call
    pairs: int = 0

    @property
    def nfe(self) -> int:
        """UNet evaluations with a backward pass counted as two more."""
        return self.unet_evals + 3 * self.unet_grads


@dataclass
class Policy:
    """pi_theta(x_{k-1} | x_k, c) of a backbone and a schedule.

    The reference policy is the same network with its adapter switched off; without an adapter the two are one.
    """

    backbone: Backbone
    schedule: Schedule
    guidance_scale: float
    cost: Cost = field(default_factory=Cost)
    _texts: OrderedDict[str, Tensor] = field(default_factory=OrderedDict)
    _fitting: Fitting = field(default_factory=lambda: Fitting("denoising"))

    def encode(self, prompts: Sequence[str]) -> Cond:
        """Text embeddings of N prompts, [N, L, D] float; each distinct prompt is encoded once and kept."""
        wanted = list(dict.fromkeys([*prompts, ""]))
        new = [prompt for prompt in wanted if prompt not in self._texts]
        for i in range(0, len(new), 64):
            chunk = new[i : i + 64]
            self._texts.update(zip(chunk, self._encode(chunk), strict=True))
        for prompt in wanted:
            self._texts.move_to_end(prompt)
        cond = Cond(torch.stack([self._texts[p] for p in prompts]), self._texts[""][None])
        room = max(len(wanted), TEXT_CACHE_BYTES // (cond.null.numel() * cond.null.element_size()))
        while len(self._texts) > room:
            self._texts.popitem(last=False)
        return cond

    @torch.no_grad()
    def _encode(self, prompts: list[str]) -> Tensor:
        tokenizer, encoder = self.backbone.tokenizer, self.backbone.text_encoder
        tokens = tokenizer(
            prompts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
        )
        # SD 1.x ignores the padding mask and SD 2.x does too, unless its text encoder's config says otherwise
        mask = tokens.attention_mask.to(self.backbone.device)
        use_mask = getattr(encoder.config, "use_attention_mask", False)
        return encoder(tokens.input_ids.to(self.backbone.device), attention_mask=mask if use_mask else None)[0]

    def eps(self, x: Tensor, k: Index, cond: Cond) -> Tensor:
        """Guided noise prediction e = e_null + w (e_text - e_null), float32 [N, C, h, w], in one batched call.

        w = 1 is the text branch alone. Gradients, where enabled, flow through both branches.
        """
        unet, rows = self.backbone.unet, len(x)
        if torch.is_grad_enabled():
            self.cost.unet_grads += rows
        else:
            self.cost.unet_evals += rows
        x = x.to(unet.dtype)
        tau = self.schedule.tau[k].expand(rows)
        if self.guidance_scale == 1:
            return unet(x, tau, cond.text).sample.float()
        text = torch.cat([cond.null.expand(rows, -1, -1), cond.text])
        e_null, e_text = unet(torch.cat([x, x]), torch.cat([tau, tau]), text).sample.float().chunk(2)
        return e_null + self.guidance_scale * (e_text - e_null)

    def step(self, x: Tensor, k: Index, cond: Cond) -> Step:
        """The distribution of the next latents, from float32 latents x_k [N, C, h, w].

        Without gradient, rows that are too many for the memory go through the network in parts.
        """
        if torch.is_grad_enabled():
            return self.schedule.step(x, self.eps(x, k, cond), k)

        def part(rows: slice) -> Tensor:
            counted = self.cost.unet_evals
            try:
                return self.eps(x[rows], k if isinstance(k, int) else k[rows], cond[rows])
            except torch.OutOfMemoryError:
                self.cost.unet_evals = counted  # what failed is done again
                raise

        return self.schedule.step(x, self._fitting(part, len(x)), k)

    def reference_step(self, x: Tensor, k: Index, cond: Cond) -> Step:
        """The same of the reference policy, without gradient."""
        with torch.no_grad(), self.adapter_off():
            return self.step(x, k, cond)

    @contextmanager
    def adapter_off(self) -> Iterator[None]:
        """The base model within the block."""
        unet = self.backbone.unet
        if not getattr(unet, "peft_config", None):
            yield
            return
        unet.disable_adapters()
        try:
            yield
        finally:
            unet.enable_adapters()

    def parameters(self) -> list[torch.nn.Parameter]:
        """The trainable parameters, in the network's order."""
        return [p for p in self.backbone.unet.parameters() if p.requires_grad]


def make_policy(backbone: Backbone, steps: int, eta: float, guidance_scale: float) -> Policy:
    """A policy over the backbone's own noise schedule."""
    schedule = Schedule.from_config(backbone.scheduler_config, steps, eta).to(backbone.device)
    return Policy(backbone, schedule, guidance_scale)
