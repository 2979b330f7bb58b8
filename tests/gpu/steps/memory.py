"""Step 6: the memory of a 24 GB and of a 40 GB card, as PyTorch can hold this process to it.

The device says that it has no more, so that micro-batches are chosen as they are there. What
counts is that the work goes on, and whether it took attempts that failed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch

from benchbench.diffusion.policy import make_policy
from benchbench.diffusion.sample import sample
from benchbench.noise import Noise, Sample
from tests.gpu import models, runs
from tests.gpu.here import Found, Here

GIB = 2**30
CARDS = {"24 GB": 22.5, "40 GB": 38.5}  # GiB that are left of such a card beside the context and other programs
METHODS = {"tailorpo": 2, "tailorpo-g": 8, "d3po": 16}  # images of a rollout; five denoising steps are learned from
EVALUATED = 64  # images in one batch
CONTEXT = 0.6 * GIB  # of the card's memory, which the process's share does not count


def run(here: Here) -> None:
    """A part for each card and method, and for an evaluation."""
    for card, gib in CARDS.items():
        for method, images in METHODS.items():
            with here.part(f"{method}, {card}") as found, limited(here, gib):
                training(here, method, images, gib, found)
        with here.part(f"evaluation, {card}") as found, limited(here, gib):
            evaluation(here, gib, found)


def training(here: Here, method: str, images: int, gib: float, found: Found) -> None:
    """One rollout with its optimiser step."""
    said: list[str] = []
    made = runs.trainer(here, method, *runs.words(method, images), said=said, planned=True)
    found["planned_rows"] = made.micro_batch
    try:
        with watched(here, gib, found):
            runs.note(found, made._rollout())
        peak = json.loads((made.out / "run.json").read_text(encoding="utf-8"))["resolved"]["peak_bytes"]
        found["estimated_gib"] = peak / GIB if peak else None
        found["dtype"] = made.parts.policy.backbone.dtype
        found["micro_batch"], found["said"] = made.micro_batch, said
    finally:
        runs.close(made)


def evaluation(here: Here, gib: float, found: Found) -> None:
    """More images at a time than the default."""
    backbone = models.loaded(here, "sd15", "auto")
    policy = make_policy(backbone, 4, 1.0, 5.0)
    count = 4 if here.tiny else EVALUATED
    with watched(here, gib, found):
        images = sample(policy, [Sample("a cat", i) for i in range(count)], Noise(0, "eval"))
    found["images"] = len(images)


@contextmanager
def watched(here: Here, gib: float, found: Found) -> Iterator[None]:
    """Peak memory and failed attempts of what the block does."""
    before = failures(here)
    here.reset_peak()
    yield
    found["peak_gib"], found["failed_attempts"] = here.peak_gib, failures(here) - before
    found.check("more memory than the card has", (here.peak_gib or 0) <= gib)


def failures(here: Here) -> int:
    """Returns how often an allocation of this process has failed."""
    return int(torch.cuda.memory_stats().get("num_ooms", 0)) if here.cuda else 0


@contextmanager
def limited(here: Here, gib: float) -> Iterator[None]:
    """Within the block the device has no more than so many GiB for tensors, and says so."""
    if not here.cuda:
        yield
        return
    properties = torch.cuda.get_device_properties(0)
    total, card = properties.total_memory, int(gib * GIB + CONTEXT)
    info = torch.cuda.mem_get_info

    def free(*_: Any, **__: Any) -> tuple[int, int]:
        used = total - info()[0]
        return max(0, card - used), card

    here.settle()
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
    """A device's properties with less memory."""

    def __init__(self, properties: Any, total_memory: int) -> None:
        self._properties, self.total_memory = properties, total_memory

    def __getattr__(self, name: str) -> Any:
        return getattr(self._properties, name)
