"""Sections drawn from a table's own numbers: columns that are steps as curves, shares of outcomes as bars."""

from __future__ import annotations

import re
from collections.abc import Mapping

from benchbench.report.sections import Bar, BarGroup, Bars, Line, StepCurves, StepPanel
from benchbench.report.table import Cell, Table

STEP = re.compile(r"(?:(?P<what>.+) )?t=(?P<t>\d+)")
OUTCOMES = ("win", "draw", "lose")


def over_steps(table: Table) -> StepCurves | None:
    """A panel a quantity, a line a row, where columns are called ``t=8`` or ``quantity t=8``; else None.

    A row called ``label: quantity`` is the line ``label`` of that quantity's panel. Needs two steps.
    """
    steps = [(found["what"], int(found["t"]), c.key) for c in table.columns if (found := STEP.fullmatch(c.key))]
    if len({t for _, t, _ in steps}) < 2:
        return None
    panels: dict[str, list[Line]] = {}
    for row in table.rows:
        label, _, of = row.partition(": ")
        for what in dict.fromkeys(what for what, _, _ in steps):
            points = {t: cell for w, t, key in steps if w == what and (cell := table.get(row, key))}
            if points:
                panels.setdefault(of or what or table.title, []).append(_line(label, points))
    return StepCurves(
        title="Over the steps",
        caption="The numbers of the table over the step index t; bands are its intervals.",
        panels=tuple(StepPanel(y_label=what, lines=tuple(lines)) for what, lines in panels.items()),
    )


def _line(label: str, points: Mapping[int, Cell]) -> Line:
    steps = sorted(points)
    bounds = [(points[t].low, points[t].high) for t in steps]
    low, high = (tuple(bound for bound in side if bound is not None) for side in zip(*bounds, strict=True))
    bounded = len(low) == len(high) == len(steps)
    return Line(
        label=label,
        x=tuple(float(t) for t in steps),
        y=tuple(points[t].value for t in steps),
        low=low if bounded else None,
        high=high if bounded else None,
    )


def outcomes(table: Table, against: str) -> Bars | None:
    """Win, draw and lose bars, where columns are called ``reward: win``, ``reward: draw``, ``reward: lose``; else None.

    Cells are shares of the comparisons that they count as images. A win rate is shown with an interval only where
    nothing was drawn: only then is it the share of wins, whose interval the table holds.
    """
    keys = {column.key for column in table.columns}
    rewards = [column.key.removesuffix(": win") for column in table.columns if column.key.endswith(": win")]
    groups = []
    for reward in rewards:
        if not all(f"{reward}: {outcome}" in keys for outcome in OUTCOMES):
            continue
        bars = []
        for row in table.rows:
            found = [table.get(row, f"{reward}: {outcome}") for outcome in OUTCOMES]
            win, draw, lose = (round(cell.value * cell.images) if cell else 0 for cell in found)
            first = found[0] if not draw else None
            low, high = (first.low, first.high) if first else (None, None)
            bars.append(Bar(label=row, win=win, draw=draw, lose=lose, low=low, high=high))
        groups.append(BarGroup(title=reward, bars=tuple(bars)))
    if not groups:
        return None
    return Bars(
        title="Wins, draws and losses",
        caption="Counts of comparisons. At the right the win rate, in which a draw is half a win; its interval, where "
        "there is no draw, is that of the table.",
        against=against,
        groups=tuple(groups),
    )
