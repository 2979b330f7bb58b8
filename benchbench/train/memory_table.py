"""Tabulates the memory plan of a run, for this machine's card or, where there is none, for the usual sizes of cards.

Imports torch only inside functions, since `bench --help` must not load it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from benchbench.config import RunConfig

if TYPE_CHECKING:
    from benchbench.train.memory_plan import MemoryPlan

COLUMNS = ("card", "rows at a time", "gradient checkpointing", "guided samples", "peak, GiB", "of, GiB", "fits")
GIB = 2**30
REPORTED = 0.985  # the share of a card's nominal memory that its driver reports


class Card(NamedTuple):
    """A device to plan for."""

    name: str
    total_bytes: int


USUAL = tuple(Card(f"a card of {size} GB", int(size * REPORTED * GIB)) for size in (24, 40, 80))


def cards(device: str | None = None) -> list[Card]:
    """Returns the CUDA device that a run would use, or ``USUAL`` where there is none or ``device`` is a CPU."""
    import torch

    if not torch.cuda.is_available() or (device or "cuda").partition(":")[0] != "cuda":
        return list(USUAL)
    properties = torch.cuda.get_device_properties(torch.device(device or "cuda"))
    return [Card(properties.name, properties.total_memory)]


def rows(config: RunConfig, on: Sequence[Card]) -> list[list[object]]:
    """Returns a row for each card, with the columns ``COLUMNS``.

    Errors: MissingError for a model that is neither on this machine nor known by its name.
    """
    from benchbench.train.memory_child import plans_in_child

    plans = plans_in_child(config, [card.total_bytes for card in on])
    return [_row(card, plan) for card, plan in zip(on, plans, strict=True)]


def _row(card: Card, plan: MemoryPlan) -> list[object]:
    assert plan.peak_bytes is not None
    checkpointing = "on" if plan.gradient_checkpointing else "off"
    peak, total = (f"{size / GIB:.1f}" for size in (plan.peak_bytes, card.total_bytes))
    return [card.name, plan.micro_batch, checkpointing, plan.guidance_rows or "-", peak, total, _fits(plan)]


def _fits(plan: MemoryPlan) -> str:
    return "yes" if plan.fits else "no, not with one row at a time"
