"""Step 6: trains and evaluates with no more memory than a 24 GB and a 40 GB card have.

PyTorch limits this process, and the device reports the smaller memory, so that micro-batches are chosen as on such a
card. The step shows that the work completes, and how many allocations failed on the way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch

from benchbench.diffusion.policy import make_policy
from benchbench.diffusion.sample import sample
from benchbench.noise import Noise, Sample
from benchbench.train.memory_child import plans_in_child
from benchbench.train.memory_plan import MemoryPlan
from tests.gpu import models, runs
from tests.gpu.context import PartResult, StepContext

Plans = dict[int, MemoryPlan]  # by the bytes that a card reports

GIB = 2**30
CARDS = {"24 GB": 22.5, "40 GB": 38.5}  # GiB of such a card that the context and other programs leave free
METHODS = {"tailorpo": 2, "tailorpo-g": 8, "d3po": 16}  # images of a rollout with five trained denoising steps
EVALUATED = 64  # images in one batch
CONTEXT = 0.6 * GIB  # bytes that a CUDA context takes, which the process's limit does not include


def run(context: StepContext) -> None:
    """Estimates the memory plans, then runs a part for each card and method, and one for each card's evaluation."""
    plans: dict[str, Plans] = {}
    with context.part("plans"):
        plans = estimated(context)
    for card, gib in CARDS.items():
        for method, images in METHODS.items():
            with context.part(f"{method}, {card}") as result, limited(context, gib):
                training(context, method, images, gib, plans, result)
        with context.part(f"evaluation, {card}") as result, limited(context, gib):
            evaluation(context, gib, result)


def estimated(context: StepContext) -> dict[str, Plans]:
    """Returns each method's plans, which are estimated at the same time; empty on a CPU, where nothing is planned."""
    if not context.cuda:
        return {}
    totals = [card_bytes(gib) for gib in CARDS.values()]
    configs = [runs.settings(context, name, *runs.small_settings(name, images)) for name, images in METHODS.items()]
    with ThreadPoolExecutor() as pool:
        made = pool.map(lambda config: plans_in_child(config, totals), configs)
        return {name: dict(zip(totals, plans, strict=True)) for name, plans in zip(METHODS, made, strict=True)}


def training(
    context: StepContext, method: str, images: int, gib: float, plans: dict[str, Plans], result: PartResult
) -> None:
    """Trains one rollout with its optimizer step."""
    messages: list[str] = []
    trainer = runs.trainer(
        context,
        method,
        *runs.small_settings(method, images),
        messages=messages,
        plans=lambda _, totals, *__: [plans[method][total] for total in totals],
    )
    result["planned_rows"] = trainer.micro_batch
    try:
        with watched(context, gib, result):
            runs.note(result, trainer._rollout())
        peak = json.loads((trainer.out / "run.json").read_text(encoding="utf-8"))["resolved"]["peak_bytes"]
        result["estimated_gib"] = peak / GIB if peak else None
        result["dtype"] = trainer.parts.policy.backbone.dtype
        result["micro_batch"], result["said"] = trainer.micro_batch, messages
    finally:
        runs.close(trainer)


def evaluation(context: StepContext, gib: float, result: PartResult) -> None:
    """Generates more images at a time than the default."""
    backbone = models.loaded(context, "sd15", "auto")
    policy = make_policy(backbone, 4, 1.0, 5.0)
    count = 4 if context.tiny else EVALUATED
    with watched(context, gib, result):
        images = sample(policy, [Sample("a cat", i) for i in range(count)], Noise(0, "eval"))
    result["images"] = len(images)


@contextmanager
def watched(context: StepContext, gib: float, result: PartResult) -> Iterator[None]:
    """Notes the block's peak memory and failed allocations."""
    before = failures(context)
    context.reset_peak()
    yield
    result["peak_gib"], result["failed_attempts"] = context.peak_gib, failures(context) - before
    result.check("more memory than the card has", (context.peak_gib or 0) <= gib)


def failures(context: StepContext) -> int:
    """Returns how often an allocation of this process has failed."""
    return int(torch.cuda.memory_stats().get("num_ooms", 0)) if context.cuda else 0


def card_bytes(gib: float) -> int:
    """Returns the memory that a card reports of which ``gib`` GiB are left for tensors."""
    return int(gib * GIB + CONTEXT)


@contextmanager
def limited(context: StepContext, gib: float) -> Iterator[None]:
    """Limits tensors to ``gib`` GiB within the block, and makes the device report that memory."""
    if not context.cuda:
        yield
        return
    properties = torch.cuda.get_device_properties(0)
    total, card = properties.total_memory, card_bytes(gib)
    info = torch.cuda.mem_get_info

    def free(*_: Any, **__: Any) -> tuple[int, int]:
        used = total - info()[0]
        return max(0, card - used), card

    context.settle()
    torch.cuda.set_per_process_memory_fraction(min(1.0, gib * GIB / total))
    try:
        with (
            mock.patch.object(torch.cuda, "get_device_properties", lambda *_, **__: Smaller(properties, card)),
            mock.patch.object(torch.cuda, "mem_get_info", free),
        ):
            yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


class Smaller:
    """A device's properties with a smaller memory."""

    def __init__(self, properties: Any, total_memory: int) -> None:
        self._properties, self.total_memory = properties, total_memory

    def __getattr__(self, name: str) -> Any:
        return getattr(self._properties, name)
