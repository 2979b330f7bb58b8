"""Tables over steps: a row a model, a column a step index, and intervals over prompts and trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from benchbench.report.table import Cell, Column, Table, make_cell
from benchbench.stats import intervals
from benchbench.stats.proportions import share


@dataclass(frozen=True)
class Shown:
    """A value column of the frames, and what its rows are called beside the model's label; the main value: nothing.

    ``share``: the values are 0 or 1, and their mean has the interval of a share, which has a width at 0 and at 1 too.
    """

    value: str
    label: str = ""
    share: bool = False

    def row(self, label: str) -> str:
        """The table's row of this value for a model: ``base``, or ``base: push``."""
        return f"{label}: {self.label}" if self.label else label


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
    """The mean of each value at each step; states whose value is missing (a tie) are left out of it.

    Columns are ``t=20``, ...; a row is a value of a model (``Shown.row``), and nothing in it says which model is best.
    Published values are by (row, column).
    """
    ks = sorted({int(k) for frame in frames.values() for k in frame.k}, reverse=True)
    cells: dict[str, dict[str, Cell]] = {}
    for one in shown:
        for label, frame in frames.items():
            row = cells.setdefault(one.row(label), {})
            for k in ks:
                part = frame[frame.k == k].assign(score=frame[one.value]).dropna(subset="score")
                if not part.empty:
                    known = (published or {}).get((one.row(label), f"t={k}"))
                    row[f"t={k}"] = make_cell((share if one.share else intervals.mean)(part, level), None, known)
    seeds = max((found.seeds for row in cells.values() for found in row.values()), default=1)
    trainings = f" and {seeds} trainings" if seeds > 1 else ""
    return Table(
        name=name,
        title=title,
        caption=f"{caption} In brackets: {level:.0%} interval over prompts{trainings}.",
        rows=tuple(cells),
        columns=tuple(Column(key=f"t={k}") for k in ks),
        cells=cells,
        quick=quick,
        ranked=False,
    )
