"""The policy: a trained UNet or transformer under guidance, as a distribution over the next latents."""

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
from benchbench.diffusion.schedules import make_schedule
from benchbench.diffusion.text import Embedding
from benchbench.diffusion.weight_copy import WeightCopy
from benchbench.errors import UsageError
from benchbench.runtime.distributed import ProcessGroup
from benchbench.runtime.memory import Splitter
from benchbench.runtime.precision import tf32
from benchbench.types import Cond

PROMPTS_AT_A_TIME = 64
CACHED_PROMPTS = 512  # more than most prompt sets have; in fp32 120 MB for SD 1.5, 320 MB for SDXL
CACHED_BYTES = 2**29  # of SD 3 in bf16 these are 196 prompts


@dataclass
class Policy:
    """pi_theta(x_{k-1} | x_k, c) for a backbone and a schedule.

    The reference policy is the same network without its adapter, or, where every weight is trained, the frozen copy
    ``reference``. Without adapter and copy it is the policy itself.
    """

    backbone: Backbone
    schedule: Schedule
    guidance_scale: float
    cost: Cost = field(default_factory=Cost)
    processes: ProcessGroup = field(default_factory=ProcessGroup)
    reference: Any = None
    old_weights: WeightCopy | None = None
    """The weights of the old policy, for a method that needs one; ``keep_old`` makes them."""
    evaluation_schedule: Schedule | None = None
    """The schedule of fixed evaluations, where it is not the training's."""
    rows_at_once: int | None = None
    """Rows per forward with gradient, set by the trainer: rounding depends on the shape of a batch."""
    _embeddings: OrderedDict[str, Embedding] = field(default_factory=OrderedDict)
    denoising: Splitter = field(default_factory=lambda: Splitter("denoising", row="image"))
    reading: Splitter = field(default_factory=lambda: Splitter("reading prompts", PROMPTS_AT_A_TIME, row="prompt"))
    _lock: Lock = field(default_factory=Lock)  # guards the embeddings and the cost when rows run in parallel threads
    _adapted: list[Any] = field(default_factory=list)  # cache of the layers with an adapter

    @cached_property
    def decoder(self) -> Decoder:
        """The decoder from latents to images."""
        return Decoder(self.backbone)

    def encode(self, prompts: Sequence[str]) -> Cond:
        """Returns the text embeddings of N prompts, [N, L, D]; caches the last distinct prompts.

        These are ``CACHED_PROMPTS``, or fewer where they would take more than ``CACHED_BYTES``.
        """
        distinct = list(dict.fromkeys([*prompts, ""]))
        with self._lock:
            embedded = {prompt: self._embeddings[prompt] for prompt in distinct if prompt in self._embeddings}
        new = [prompt for prompt in distinct if prompt not in embedded]
        if new:
            for rows, embeddings in self.reading.parts(lambda rows: text.encode(self.backbone, new[rows]), len(new)):
                embedded.update(zip(new[rows], embeddings, strict=True))
        with self._lock:
            for prompt in distinct:
                self._embeddings[prompt] = embedded[prompt]
                self._embeddings.move_to_end(prompt)
            most = min(CACHED_PROMPTS, CACHED_BYTES // sum(part.nbytes for part in embedded[""] if part is not None))
            while len(self._embeddings) > most:
                self._embeddings.popitem(last=False)
        return text.condition(self.backbone, [embedded[prompt] for prompt in prompts], embedded[""])

    def prediction(self, x: Tensor, k: Index, cond: Cond) -> Tensor:
        """Returns the guided prediction p = p_null + w (p_text - p_null), float32 [N, C, h, w], in one call.

        It is of noise, v or velocity, as the schedule says; guidance is the same for all, since they are linear in x̂0.

        w = 1 evaluates the text branch alone. Gradients, where enabled, flow through both branches.
        """
        tau = self.schedule.tau[k].expand(len(x))
        if self.guidance_scale == 1:
            p = self._network(x, tau, cond)
        else:
            both = text.with_null(cond, len(x))
            p_null, p_text = self._network(torch.cat([x, x]), torch.cat([tau, tau]), both).chunk(2)
            p = p_null + self.guidance_scale * (p_text - p_null)
        self._count(x, guided=self.guidance_scale != 1)
        return p

    def _network(self, x: Tensor, tau: Tensor, cond: Cond) -> Tensor:
        """Returns the unguided prediction, float32 [N, C, h, w], computed in the backbone's precision."""
        with self.arithmetic():
            return text.predict(self.backbone.network, x, tau, cond)

    def predict(self, x: Tensor, tau: Tensor, cond: Cond) -> Tensor:
        """Returns the prediction without guidance, float32 [N, C, h, w], at training times tau [N].

        Without gradient, a batch too large for the memory is evaluated in parts.
        """

        def part(rows: slice) -> Tensor:
            e = self._network(x[rows], tau[rows], cond[rows])
            self._count(x[rows], guided=False)
            return e

        return part(slice(0, len(x))) if torch.is_grad_enabled() else self._in_shares(part, x)

    def _count(self, x: Tensor, guided: bool) -> None:
        """Counts an evaluation of the rows x after it succeeded: an attempt that runs out of memory counts nothing."""
        gradient = torch.is_grad_enabled()
        checkpointed = gradient and getattr(self.backbone.network, "is_gradient_checkpointing", False)
        with self._lock:
            # a leaf is what guidance differentiates; other latents are those of earlier steps with the same weights
            of_latents = x.requires_grad and x.is_leaf
            self.cost.add(len(x), guided, gradient, of_latents, checkpointed)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Samples as evaluations do within the block, and counts all work as forwards of an evaluation only."""
        run_cost, self.cost = self.cost, Cost()
        schedule, self.schedule = self.schedule, self.evaluation_schedule or self.schedule
        try:
            yield
        finally:
            run_cost.eval_forwards += self.cost.forwards
            self.cost, self.schedule = run_cost, schedule

    def reference_predict(self, x: Tensor, tau: Tensor, cond: Cond) -> Tensor:
        """Returns ``predict`` of the reference policy, without gradient."""
        with torch.no_grad(), self.adapter_off():
            return self.predict(x, tau, cond)

    def old_predict(self, x: Tensor, tau: Tensor, cond: Cond) -> Tensor:
        """Returns ``predict`` of the old policy, without gradient. Raises UsageError without an old policy."""
        with torch.no_grad(), self.old():
            return self.predict(x, tau, cond)

    def step(self, x: Tensor, k: Index, cond: Cond) -> Step:
        """Returns the distribution of the next latents for float32 latents x_k [N, C, h, w].

        Without gradient, a batch too large for the memory is evaluated in parts.
        """
        if torch.is_grad_enabled():  # a gradient does not pass between processes
            return self.schedule.step(x, self.prediction(x, k, cond), k)

        def part(rows: slice) -> Tensor:
            return self.prediction(x[rows], k if isinstance(k, int) else k[rows], cond[rows])

        return self.schedule.step(x, self._in_shares(part, x), k)

    def _in_shares(self, part: Callable[[slice], Tensor], x: Tensor) -> Tensor:
        """Returns ``part`` for all rows of x: each process computes its share, in parts that fit its memory."""

        def share(rows: slice) -> Tensor:
            def offset_part(local: slice) -> Tensor:
                return part(slice(rows.start + local.start, rows.start + local.stop))

            return self.denoising(offset_part, rows.stop - rows.start)

        return self.processes.sharded_rows(len(x), x.shape[1:], share)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Restores the counters if the block fails, since the same work is done again."""
        old_cost = replace(self.cost)
        try:
            yield
        except Exception:
            self.cost = old_cost
            raise

    def reference_step(self, x: Tensor, k: Index, cond: Cond) -> Step:
        """Returns ``step`` of the reference policy, without gradient."""
        with torch.no_grad(), self.adapter_off():
            return self.step(x, k, cond)

    @torch.no_grad()
    def log_probs(self, x: Tensor, x_next: Tensor, k: Tensor, cond: Cond) -> Tensor:
        """Returns log-probs float32 [N] of the steps x -> x_next, in the batch shapes of an update of these N rows.

        These are the process's share of the rows, ``rows_at_once`` at a time.
        """

        def share(rows: slice) -> Tensor:
            size = self.rows_at_once or max(1, rows.stop - rows.start)
            parts = [slice(i, min(i + size, rows.stop)) for i in range(rows.start, rows.stop, size)]
            return torch.cat([self.step(x[p], k[p], cond[p]).log_prob(x_next[p]) for p in parts])

        return self.processes.sharded_rows(len(x), (), share)

    def arithmetic(self) -> AbstractContextManager[None]:
        """Returns a context that allows TF32 if the backbone uses it; a backward pass needs the context, too."""
        return tf32() if self.backbone.dtype == "tf32" else nullcontext()

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Does not count the work within the block; checks before the first step use it."""
        run_cost, self.cost = self.cost, Cost()
        try:
            yield
        finally:
            self.cost = run_cost

    @contextmanager
    def adapter_off(self) -> Iterator[None]:
        """Makes the policy the reference within the block: ``backbone.network`` is the base model."""
        backbone, network = self.backbone, self.backbone.network
        if self.reference is not None:
            self.backbone = replace(backbone, network=self.reference)
            try:
                yield
            finally:
                self.backbone = backbone
        elif getattr(network, "peft_config", None):
            self._enable_adapter(False)
            try:
                yield
            finally:
                self._enable_adapter(True)
        else:
            yield

    def keep_old(self) -> None:
        """Gives the policy old weights, which are the present ones until the trainer moves them."""
        self.old_weights = WeightCopy(self.parameters())

    def old(self) -> AbstractContextManager[None]:
        """Returns a context in which the policy is the old one. Raises UsageError without an old policy."""
        if self.old_weights is None:
            raise UsageError(
                "this policy has no old weights",
                "they take memory, so that a run keeps them only for a method that names the need",
                'let the method\'s needs() include "old"',
            )
        return self.old_weights.used()

    @property
    def threads(self) -> int:
        """The number of threads for evaluation: 1 on GPUs, with several processes, and for a compiled network."""
        if self.backbone.device.type != "cpu" or self.processes.size > 1:
            return 1
        compiled = any(module._compiled_call_impl is not None for module in self.backbone.network.modules())
        return 1 if compiled else torch.get_num_threads()

    def _enable_adapter(self, on: bool) -> None:
        """Switches the adapter on or off; diffusers' enable_adapters would search the whole network each time."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        if not self._adapted:
            self._adapted += [m for m in self.backbone.network.modules() if isinstance(m, BaseTunerLayer)]
        for layer in self._adapted:
            layer.enable_adapters(on)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Returns the trainable parameters, in the network's order."""
        return [p for p in self.backbone.network.parameters() if p.requires_grad]


def make_policy(
    backbone: Backbone, steps: int, eta: float | None = None, guidance_scale: float = 1.0, **of_flow: Any
) -> Policy:
    """Returns a policy over the backbone's own schedule. Diffusion models have ``eta``, flow matching the others."""
    sampler = of_flow if eta is None else {"eta": eta, **of_flow}
    return Policy(
        backbone, make_schedule(backbone.scheduler_config, steps, **sampler).to(backbone.device), guidance_scale
    )
