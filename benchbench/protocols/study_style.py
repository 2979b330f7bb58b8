"""Puts the tables of a study together, and writes their captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbench.report.table import P_VALUE, Cell, Column, Table
from benchbench.stats.intervals import LEVEL

P_VALUES = ("p", "p, Holm", "p, sign test over prompts", "p, sign test over raters")
CLUSTERED = (
    f"In brackets: {LEVEL:.0%} interval clustered by rater and prompt, both random (Student's t, the smaller number of "
    "clusters less one)"
)


@dataclass(frozen=True)
class Style:
    """The raters that the tables of one analysis are of, as a word in file names, and in a sentence."""

    word: str
    raters: str
    quick: bool


def make_table(
    name: str, title: str, caption: str, rows: Mapping[str, dict[str, Cell]], columns: Sequence[str], style: Style
) -> Table:
    """Returns a table whose rows are not ranked: intervals say what is told apart."""
    return Table(
        name=name,
        title=title,
        caption=caption,
        rows=tuple(rows),
        columns=tuple(Column(key=key, unit=P_VALUE if key in P_VALUES else "") for key in columns),
        cells=dict(rows),
        quick=style.quick,
    )
