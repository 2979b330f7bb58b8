"""Tables over steps: a row a model, a column a step index, and intervals over prompts and trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from benchbench.report.table import Cell, Column, Table, cell
from benchbench.stats import intervals


@dataclass(frozen=True)
class Shown:
    """A value column of the frames, and the words that come before ``t=`` in the table's."""

    value: str
    label: str
    unit: str = ""

    def at(self, k: int) -> str:
        """The table's column for step k."""
        return f"{self.label} t={k}".strip()


def said(about: str) -> str:
    """The first sentence of a caption, or nothing."""
    return f"{about.rstrip('. ')}. " if about else ""


def step_table(
    frames: Mapping[str, pd.DataFrame],
    shown: Sequence[Shown],
    *,
    name: str,
    title: str,
    caption: str,
    published: Mapping[tuple[str, str], float] | None,
    quick: bool,
    level: float,
) -> Table:
    """The mean of each value at each step; rows whose value is missing (a tie) are left out of it.

    Published values are by (row, ``Shown.at``).
    """
    ks = sorted({int(k) for frame in frames.values() for k in frame.k}, reverse=True)
    columns = [Column(key=one.at(k), unit=one.unit) for one in shown for k in ks]
    cells: dict[str, dict[str, Cell]] = {row: {} for row in frames}
    for row, frame in frames.items():
        for one in shown:
            for k in ks:
                part = frame[frame.k == k].assign(score=lambda f, v=one.value: f[v]).dropna(subset="score")
                if not part.empty:
                    known = (published or {}).get((row, one.at(k)))
                    cells[row][one.at(k)] = cell(intervals.mean(part, level), None, known)
    seeds = max((found.seeds for row in cells.values() for found in row.values()), default=1)
    trainings = f" and {seeds} trainings" if seeds > 1 else ""
    caption = f"{caption} In brackets: {level:.0%} interval over prompts{trainings}."
    return Table(
        name=name,
        title=title,
        caption=caption,
        rows=tuple(frames),
        columns=tuple(columns),
        cells=cells,
        quick=quick,
    )
