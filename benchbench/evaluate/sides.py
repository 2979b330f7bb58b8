"""The two sides of a comparison, found by what the user names. Imports no pandas: a wrong name is told at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchbench.errors import UsageError, all_at_once
from benchbench.evaluate.conditions import BASE
from benchbench.evaluate.rows import method_label
from benchbench.store.runs import Adapter, find_adapter

SideReference = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Side:
    """A side of a comparison: its label, its adapters and the settings of their training."""

    label: str
    adapters: tuple[Adapter, ...]
    """The adapters of its trainings, one of each seed; empty for the base model."""
    reference: str
    """The run ids, folders or word ``base`` that the user gave."""
    settings: Mapping[str, Any]

    @property
    def hashes(self) -> list[str]:
        """The hashes of the weights, in any order; empty for the base model."""
        return sorted(adapter.hash for adapter in self.adapters)


def find_sides(first: SideReference, second: SideReference, store: Path) -> tuple[Side, Side]:
    """Returns the two models that run ids, folders or ``base`` name, labelled by their methods if these differ.

    Several trainings of a side are a list, or a text that separates them by commas. Raises MissingError (no such run),
    RunError (unfinished run), UsageError if both are the same model, or have different numbers of trainings.
    """
    first_side, second_side = all_at_once(lambda: _side(first, store), lambda: _side(second, store))
    counts = [len(side.adapters) for side in (first_side, second_side)]
    if counts[0] != counts[1] and all(counts):
        raise UsageError(
            f"{counts[0]} trainings cannot be compared with {counts[1]}",
            "a training is compared with the one of the same seed on the other side",
            "name as many trainings on each side, or base",
        )
    if first_side.hashes == second_side.hashes:
        raise UsageError(
            f"{first_side.reference} and {second_side.reference} are the same model",
            "their weights are equal",
            "name two different runs, or base",
        )
    sides = (first_side, second_side)
    methods = [method_label(side.adapters[0]) if side.adapters else side.label for side in sides]
    if methods[0] == methods[1]:
        return first_side, second_side
    return replace(first_side, label=methods[0]), replace(second_side, label=methods[1])


def _side(reference: SideReference, store: Path) -> Side:
    names: Sequence[str | Path] = [reference] if isinstance(reference, Path) else reference
    names = names.split(",") if isinstance(names, str) else names
    if [str(name) for name in names] in ([], [BASE]):
        return Side(BASE, (), BASE, {})
    adapters = tuple(find_adapter(store, name) for name in names)
    more = f" and {len(adapters) - 1} more" if len(adapters) > 1 else ""
    return Side(adapters[0].label + more, adapters, ",".join(map(str, names)), adapters[0].settings)
