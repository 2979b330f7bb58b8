"""Sections that show the numbers of a table in another form: curves over steps, bars of wins, draws and losses."""

from __future__ import annotations

import re
from collections.abc import Mapping

from benchbench.report.sections import Curve, OutcomeBar, OutcomeGroup, OutcomeSection, StepPanel, StepSection
from benchbench.report.table import Cell, Table

STEP = re.compile(r"(?:(?P<quantity>.+) )?t=(?P<t>\d+)")
OUTCOMES = ("win", "draw", "lose")


def step_curves(table: Table) -> StepSection | None:
    """Returns the table as curves over steps, with one panel per quantity and one curve per row.

    A column ``t=8`` or ``quantity t=8`` is step 8. A row ``label: quantity`` is the curve ``label`` in that quantity's
    panel. Returns None for a table with fewer than two steps.
    """
    columns = [(step["quantity"], int(step["t"]), c.key) for c in table.columns if (step := STEP.fullmatch(c.key))]
    if len({t for _, t, _ in columns}) < 2:
        return None
    panels: dict[str, list[Curve]] = {}
    for row in table.rows:
        label, _, row_quantity = row.partition(": ")
        for quantity in dict.fromkeys(quantity for quantity, _, _ in columns):
            points = {t: cell for name, t, key in columns if name == quantity and (cell := table.get(row, key))}
            if points:
                panels.setdefault(row_quantity or quantity or table.title, []).append(_curve(label, points))
    return StepSection(
        title="Over the steps",
        caption="The numbers of the table over the step index t; bands are the table's intervals.",
        panels=tuple(StepPanel(y_label=quantity, lines=tuple(curves)) for quantity, curves in panels.items()),
    )


def _curve(label: str, points: Mapping[int, Cell]) -> Curve:
    steps = sorted(points)
    bounds = [(points[t].low, points[t].high) for t in steps]
    low, high = (tuple(bound for bound in side if bound is not None) for side in zip(*bounds, strict=True))
    has_band = len(low) == len(high) == len(steps)  # every step has an interval
    return Curve(
        label=label,
        x=tuple(float(t) for t in steps),
        y=tuple(points[t].value for t in steps),
        low=low if has_band else None,
        high=high if has_band else None,
    )


def outcome_bars(table: Table, against: str) -> OutcomeSection | None:
    """Returns a table of win rates as bars of wins, draws and losses against the row ``against``.

    The columns are ``reward: win``, ``reward: draw`` and ``reward: lose``; a table without them gives None. Cells are
    fractions of the comparisons, whose number is ``images``. Bars with draws get no interval: the table has that of the
    fraction of wins, which equals the win rate only without draws.
    """
    keys = {column.key for column in table.columns}
    rewards = [column.key.removesuffix(": win") for column in table.columns if column.key.endswith(": win")]
    groups = []
    for reward in rewards:
        if not all(f"{reward}: {outcome}" in keys for outcome in OUTCOMES):
            continue
        bars = []
        for row in table.rows:
            cells = [table.get(row, f"{reward}: {outcome}") for outcome in OUTCOMES]
            win, draw, lose = (round(cell.value * cell.images) if cell else 0 for cell in cells)
            low, high = (cells[0].low, cells[0].high) if cells[0] and not draw else (None, None)
            bars.append(OutcomeBar(label=row, win=win, draw=draw, lose=lose, low=low, high=high))
        groups.append(OutcomeGroup(title=reward, bars=tuple(bars)))
    if not groups:
        return None
    return OutcomeSection(
        title="Wins, draws and losses",
        caption="Counts of comparisons. On the right is the win rate, in which a draw counts as half a win; without "
        "draws, it has the interval of the table.",
        against=against,
        groups=tuple(groups),
    )
