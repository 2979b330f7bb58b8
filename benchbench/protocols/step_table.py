"""Tables over denoising steps: a row per model and value, a column per step, intervals over prompts and trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from benchbench.evaluate.reward_table import PublishedValues
from benchbench.report.table import Cell, Column, Table, make_cell
from benchbench.stats import intervals
from benchbench.stats.proportions import share


@dataclass(frozen=True)
class ValueRow:
    """A value column of the frames that becomes a table row of each model; ``label`` is empty for the main value.

    ``share`` says that the values are 0 or 1. The interval of a share has a width even if all values are equal.
    """

    value: str
    label: str = ""
    share: bool = False

    def name(self, model_label: str) -> str:
        """Returns the name of the table row for a model: ``base``, or ``base: push``."""
        return f"{model_label}: {self.label}" if self.label else model_label


@dataclass(frozen=True)
class TableStyle:
    """Holds the name of a protocol's table and the choices of how it is shown.

    ``about`` is the first sentence of its caption with a space behind it, or empty; ``published`` values stand beside
    ours; ``level`` is that of the intervals; ``steps`` is the number of steps of the sampler.
    """

    name: str
    about: str
    published: PublishedValues
    quick: bool
    level: float
    steps: int


def step_table(
    frames: Mapping[str, pd.DataFrame],
    value_rows: Sequence[ValueRow],
    *,
    title: str,
    caption: str,
    style: TableStyle,
) -> Table:
    """Returns the mean of each value at each step, in columns ``t=20``, ...; missing values (ties) are left out.

    The rows are not ranked: no value says which model is best.
    """
    ks = sorted({int(k) for frame in frames.values() for k in frame.k}, reverse=True)
    cells: dict[str, dict[str, Cell]] = {}
    for value_row in value_rows:
        interval_of = share if value_row.share else intervals.mean
        for label, frame in frames.items():
            row = value_row.name(label)
            cells.setdefault(row, {})
            for k in ks:
                part = frame[frame.k == k].assign(score=frame[value_row.value]).dropna(subset="score")
                if not part.empty:
                    column = f"t={k}"
                    cells[row][column] = make_cell(
                        interval_of(part, style.level), None, style.published.get((row, column))
                    )
    seeds = max((cell.seeds for row_cells in cells.values() for cell in row_cells.values()), default=1)
    trainings = f" and {seeds} trainings" if seeds > 1 else ""
    return Table(
        name=style.name,
        title=title,
        caption=f"{caption} In brackets: {style.level:.0%} interval over prompts{trainings}.",
        rows=tuple(cells),
        columns=tuple(Column(key=f"t={k}") for k in ks),
        cells=cells,
        quick=style.quick,
    )
