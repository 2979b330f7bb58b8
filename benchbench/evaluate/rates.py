"""The sentences of a table's caption that say how the learning rate of each row was chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from benchbench import presets, registry
from benchbench.config import TrainConfig
from benchbench.errors import UsageError
from benchbench.report.table import Table
from benchbench.store.runs import Adapter

OF_NO_PRESET = "of no preset"
"""The origin of a learning rate that is neither its preset's nor the default."""


class Rate(NamedTuple):
    """The learning rate of one training of a row, and how it was chosen."""

    row: str
    origin: str
    value: float


def rates_caption(rates: Iterable[Rate]) -> str:
    """Returns the learning rates of the rows, grouped by how they were chosen; empty without trainings."""
    by_origin: dict[str, dict[str, dict[str, None]]] = {}
    for rate in rates:
        by_origin.setdefault(rate.origin, {}).setdefault(rate.row, {})[f"{rate.value:g}"] = None
    if len(by_origin) == 1:
        [(origin, rows)] = by_origin.items()
        used = {value for values in rows.values() for value in values}
        if len(rows) > 1 and len(used) == 1:
            return f"Learning rate of every training: {used.pop()} ({origin})."
    sentences = []
    for origin, rows in by_origin.items():
        parts = [f"{row}: {', '.join(values)}" for row, values in rows.items()]
        sentences.append(f"Learning rates ({origin}): {'; '.join(parts)}.")
    return " ".join(sentences)


def with_rates(table: Table, rows: Mapping[str, Sequence[Adapter]]) -> Table:
    """Returns a table whose caption ends in the learning rates of its rows."""
    return table.model_copy(update={"caption": f"{table.caption} {rates_of(rows)}".rstrip()})


def rates_of(rows: Mapping[str, Sequence[Adapter]]) -> str:
    """Returns the sentences on the trainings of each row, as far as their run folders tell; others are left out."""
    return rates_caption(
        Rate(row, origin, adapter.settings["train"]["lr"])
        for row, adapters in rows.items()
        for adapter in adapters
        if (origin := _origin(adapter.settings))
    )


def _origin(settings: Mapping[str, Any]) -> str:
    """Returns how the learning rate of a run was chosen, as its settings show; empty where that is unknown.

    A run folder holds values and not the words of ``--set``, so that the value is compared with the preset's.
    """
    method, preset, rate = settings.get("method"), settings.get("preset"), settings.get("train", {}).get("lr")
    if method not in registry.names("methods") or preset is None or rate is None:
        return ""
    try:
        entry = presets.preset_values(method, preset).get(presets.RATE)
    except UsageError:  # a file of bench tune: the run holds its name, and not the file
        return f"preset {preset}"
    if entry is not None and entry["value"] == rate:
        return f"preset {preset}"
    return presets.UNSEARCHED if entry is None and rate == TrainConfig().lr else OF_NO_PRESET
