"""The policy: a UNet that is trained, under classifier-free guidance, as a distribution over the next latents."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from benchbench.diffusion import text
from benchbench.diffusion.backbones import Backbone
from benchbench.diffusion.cost import Cost
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.schedule import Index, Schedule, Step
from benchbench.diffusion.text import Embedding
from benchbench.runtime.distributed import ProcessGroup
from benchbench.runtime.memory import Splitter
from benchbench.runtime.precision import tf32
from benchbench.types import Cond

TEXTS_AT_A_TIME = 64
TEXTS_KEPT = 512  # prompts: most sets whole, and memory flat in larger ones; in fp32 120 MB of SD 1.5, 320 of SDXL


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
    processes: ProcessGroup = field(default_factory=ProcessGroup)
    reference: Any = None
    rows_at_once: int | None = None
    """Rows of one forward with gradient, where a trainer has chosen them: the shape in which updates round."""
    _texts: OrderedDict[str, Embedding] = field(default_factory=OrderedDict)
    denoising: Splitter = field(default_factory=lambda: Splitter("denoising", row="image"))
    reading: Splitter = field(default_factory=lambda: Splitter("reading prompts", TEXTS_AT_A_TIME, row="prompt"))
    _lock: Lock = field(default_factory=Lock)  # of what rows that are evaluated side by side share
    _adapted: list[Any] = field(default_factory=list)  # the layers with an adapter, looked for once

    @cached_property
    def decoder(self) -> Decoder:
        """From latents to images."""
        return Decoder(self.backbone)

    def encode(self, prompts: Sequence[str]) -> Cond:
        """Text embeddings of N prompts, [N, L, D]; those of the last ``TEXTS_KEPT`` distinct prompts are kept."""
        wanted = list(dict.fromkeys([*prompts, ""]))
        with self._lock:
            found = {prompt: self._texts[prompt] for prompt in wanted if prompt in self._texts}
        new = [prompt for prompt in wanted if prompt not in found]
        if new:
            for rows, embeddings in self.reading.parts(lambda rows: text.encode(self.backbone, new[rows]), len(new)):
                found.update(zip(new[rows], embeddings, strict=True))
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
        tau = self.schedule.tau[k].expand(len(x))
        if self.guidance_scale == 1:
            e = self._network(x, tau, cond)
        else:
            both = text.with_null(cond, len(x))
            e_null, e_text = self._network(torch.cat([x, x]), torch.cat([tau, tau]), both).chunk(2)
            e = e_null + self.guidance_scale * (e_text - e_null)
        self._count(x, guided=self.guidance_scale != 1)
        return e

    def _network(self, x: Tensor, tau: Tensor, cond: Cond) -> Tensor:
        """The network's own noise prediction, float32 [N, C, h, w], in the backbone's precision."""
        with self.arithmetic():
            return text.noise(self.backbone.network, x, tau, cond)

    def predict(self, x: Tensor, tau: Tensor, cond: Cond) -> Tensor:
        """Noise prediction without guidance, float32 [N, C, h, w], at training timesteps tau int64 [N].

        Without gradient, rows that are too many for the memory go through the network in parts.
        """

        def part(rows: slice) -> Tensor:
            e = self._network(x[rows], tau[rows], cond[rows])
            self._count(x[rows], guided=False)
            return e

        return part(slice(0, len(x))) if torch.is_grad_enabled() else self._in_shares(part, x)

    def _count(self, x: Tensor, guided: bool) -> None:
        """Counts an evaluation of the rows x, once it is done: an attempt that runs out of memory counts nothing."""
        gradient = torch.is_grad_enabled()
        checkpointed = gradient and getattr(self.backbone.network, "is_gradient_checkpointing", False)
        with self._lock:
            self.cost.add(len(x), guided, gradient, of_latents=x.requires_grad, checkpointed=checkpointed)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Counts all work within the block as forwards of an evaluation, and as nothing else."""
        own, self.cost = self.cost, Cost()
        try:
            yield
        finally:
            own.eval_forwards += self.cost.forwards
            self.cost = own

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
            return self.eps(x[rows], k if isinstance(k, int) else k[rows], cond[rows])

        return self.schedule.step(x, self._in_shares(part, x), k)

    def _in_shares(self, part: Callable[[slice], Tensor], x: Tensor) -> Tensor:
        """``part`` of all rows of x: this process's share of them in parts that fit, the others' from the others."""

        def share(rows: slice) -> Tensor:
            def fits(some: slice) -> Tensor:
                return part(slice(rows.start + some.start, rows.start + some.stop))

            return self.denoising(fits, rows.stop - rows.start)

        return self.processes.sharded_rows(len(x), x.shape[1:], share)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Takes back the counts of an attempt that fails, since the same work is done again."""
        before = replace(self.cost)
        try:
            yield
        except Exception:
            self.cost = before
            raise

    def reference_step(self, x: Tensor, k: Index, cond: Cond) -> Step:
        """The same of the reference policy, without gradient."""
        with torch.no_grad(), self.adapter_off():
            return self.step(x, k, cond)

    @torch.no_grad()
    def log_probs(self, x: Tensor, x_next: Tensor, k: Tensor, cond: Cond) -> Tensor:
        """Log-probs float32 [N] of the steps x -> x_next, computed in the batch shapes of an update of these N rows.

        Those are each process's share of the rows, ``rows_at_once`` at a time.
        """

        def share(rows: slice) -> Tensor:
            size = self.rows_at_once or max(1, rows.stop - rows.start)
            parts = [slice(i, min(i + size, rows.stop)) for i in range(rows.start, rows.stop, size)]
            return torch.cat([self.step(x[p], k[p], cond[p]).log_prob(x_next[p]) for p in parts])

        return self.processes.sharded_rows(len(x), (), share)

    def arithmetic(self) -> AbstractContextManager[None]:
        """TF32 inside the block where the backbone computes in it; a backward pass needs the block as well."""
        return tf32() if self.backbone.dtype == "tf32" else nullcontext()

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Does not charge the work within the block to the run: checks before the first step use it."""
        own, self.cost = self.cost, Cost()
        try:
            yield
        finally:
            self.cost = own

    @contextmanager
    def adapter_off(self) -> Iterator[None]:
        """The reference within the block: ``backbone.network`` is the base model, whichever way it is trained."""
        own, unet = self.backbone, self.backbone.network
        if self.reference is not None:
            self.backbone = replace(own, network=self.reference)
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
        if self.backbone.device.type != "cpu" or self.processes.size > 1:
            return 1
        compiled = any(module._compiled_call_impl is not None for module in self.backbone.network.modules())
        return 1 if compiled else torch.get_num_threads()

    def _switch(self, on: bool) -> None:
        """What diffusers' enable_adapters and disable_adapters do, without walking through the network each time."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        if not self._adapted:
            self._adapted += [m for m in self.backbone.network.modules() if isinstance(m, BaseTunerLayer)]
        for layer in self._adapted:
            layer.enable_adapters(on)

    def parameters(self) -> list[torch.nn.Parameter]:
        """The trainable parameters, in the network's order."""
        return [p for p in self.backbone.network.parameters() if p.requires_grad]


def make_policy(backbone: Backbone, steps: int, eta: float, guidance_scale: float) -> Policy:
    """A policy over the backbone's own noise schedule."""
    schedule = Schedule.from_config(backbone.scheduler_config, steps, eta).to(backbone.device)
    return Policy(backbone, schedule, guidance_scale)
