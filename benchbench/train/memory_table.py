"""The plan of a run in words: for the card that is here, or for the usual sizes where there is none.

Imports no torch until a plan is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from benchbench.config import RunConfig

if TYPE_CHECKING:
    from benchbench.train.memory_plan import MemoryPlan

COLUMNS = ("card", "rows at a time", "gradient checkpointing", "guided samples", "peak, GiB", "of, GiB", "fits")
GIB = 2**30
CARD = 0.985  # of a card's nominal memory, what its driver reports


class Card(NamedTuple):
    """A device to plan for."""

    name: str
    total_bytes: int


USUAL = tuple(Card(f"a card of {size} GB", int(size * CARD * GIB)) for size in (24, 40, 80))


def cards(device: str | None = None) -> list[Card]:
    """The CUDA device that a run would take; the usual sizes where there is none or the run is to be on a CPU."""
    import torch

    if not torch.cuda.is_available() or (device or "cuda").partition(":")[0] != "cuda":
        return list(USUAL)
    found = torch.cuda.get_device_properties(torch.device(device or "cuda"))
    return [Card(found.name, found.total_memory)]


def rows(config: RunConfig, on: Sequence[Card]) -> list[list[object]]:
    """A row for each card, under ``COLUMNS``. Errors: MissingError for a model that is neither here nor known."""
    from benchbench.train.memory_child import plans_apart

    made = plans_apart(config, [card.total_bytes for card in on])
    return [_row(card, plan) for card, plan in zip(on, made, strict=True)]


def _row(card: Card, plan: MemoryPlan) -> list[object]:
    assert plan.peak_bytes is not None
    checkpointing = "on" if plan.gradient_checkpointing else "off"
    peak, total = (f"{size / GIB:.1f}" for size in (plan.peak_bytes, card.total_bytes))
    return [card.name, plan.micro_batch, checkpointing, plan.guidance_rows or "-", peak, total, _fits(plan)]


def _fits(plan: MemoryPlan) -> str:
    return "yes" if plan.fits else "no, not with one row at a time"
