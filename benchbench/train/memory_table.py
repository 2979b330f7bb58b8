"""Tabulates the memory plan of a run, for this machine's card or, where there is none, for the usual sizes of cards.

Imports the plan's maker, which loads torch, only inside a function, since `bench --help` must not load it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchbench.config import RunConfig
from benchbench.train.cards import GIB, REPORTED, Card, find, here, training_hours

if TYPE_CHECKING:
    from benchbench.train.memory_plan import MemoryPlan

COLUMNS = (
    "card",
    "rows at a time",
    "gradient checkpointing",
    "guided samples",
    "peak, GiB",
    "of, GiB",
    "fits",
    "hours",
)
USUAL = tuple(Card(f"a card of {size} GB", int(size * REPORTED * GIB)) for size in (24, 40, 80))


def cards(device: str | None = None, named: str | None = None) -> list[Card]:
    """Returns the named card, else the CUDA device that a run would use, else ``USUAL``. Raises UsageError."""
    if named:
        return [find(named)]
    found = here(device)
    return [found] if found else list(USUAL)


def rows(config: RunConfig, on: Sequence[Card], evaluations: float) -> list[list[object]]:
    """Returns a row for each card, with the columns ``COLUMNS``, of a training of so many guided network evaluations.

    Errors: MissingError for a model that is neither on this machine nor known by its name.
    """
    from benchbench.train.memory_child import plans_in_child

    plans = plans_in_child(config, [card.total_bytes for card in on])
    hours = [training_hours(config, evaluations, card) for card in on]
    return [_row(card, plan, time) for card, plan, time in zip(on, plans, hours, strict=True)]


def _row(card: Card, plan: MemoryPlan, hours: float) -> list[object]:
    assert plan.peak_bytes is not None
    checkpointing = "on" if plan.gradient_checkpointing else "off"
    peak, total = (f"{size / GIB:.1f}" for size in (plan.peak_bytes, card.total_bytes))
    return [
        card.name,
        plan.micro_batch,
        checkpointing,
        plan.guidance_rows or "-",
        peak,
        total,
        _fits(plan),
        f"{hours:.1f}" if hours else "-",
    ]


def _fits(plan: MemoryPlan) -> str:
    return "yes" if plan.fits else "no, not with one row at a time"
