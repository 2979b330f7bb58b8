"""Curves over steps and bars of outcomes say what their table says."""

from __future__ import annotations

from benchbench.report.derived import outcome_bars, step_curves
from benchbench.report.table import Cell, Column, Table


def table(rows: dict[str, dict[str, Cell]]) -> Table:
    keys = dict.fromkeys(key for cells in rows.values() for key in cells)
    columns = tuple(Column(key=key) for key in keys)
    return Table(name="t", title="Ratio", caption="", rows=tuple(rows), columns=columns, cells=rows)


def test_a_quantity_a_panel_and_a_row_a_line() -> None:
    up = {"x+ t=8": Cell(value=0.8, low=0.7, high=0.9), "x+ t=12": Cell(value=0.6, low=0.5, high=0.7)}
    down = {"x- t=8": Cell(value=0.3), "x- t=12": Cell(value=0.2, low=0.1, high=0.3)}
    found = step_curves(table({"base": up | down, "ours": up}))
    assert found is not None
    plus, minus = found.panels
    assert (plus.y_label, minus.y_label) == ("x+", "x-")
    assert [line.label for line in plus.lines] == ["base", "ours"] and [line.label for line in minus.lines] == ["base"]
    assert (plus.lines[0].x, plus.lines[0].y, plus.lines[0].low) == ((8, 12), (0.8, 0.6), (0.7, 0.5))
    assert minus.lines[0].y == (0.3, 0.2) and minus.lines[0].low is None  # one step has no interval, so no band


def test_quantities_may_stand_in_the_rows() -> None:
    cells = {"t=20": Cell(value=1), "t=1": Cell(value=2)}
    found = step_curves(table({"base: gap": cells, "base: error": cells, "ours: gap": cells}))
    assert found is not None and [panel.y_label for panel in found.panels] == ["gap", "error"]
    assert [line.label for line in found.panels[0].lines] == ["base", "ours"]
    bare = step_curves(table({"base": cells}))
    assert bare is not None and bare.panels[0].y_label == "Ratio"


def test_other_tables_have_no_steps() -> None:
    assert step_curves(table({"base": {"t=8": Cell(value=1), "colour": Cell(value=2)}})) is None
    assert outcome_bars(table({"base": {"colour": Cell(value=2)}}), "base") is None


def test_shares_become_counts() -> None:
    """Of 40 comparisons 0.5, 0.125 and 0.375 are 20, 5 and 15; without draws the share of wins has an interval."""
    drawn = {"r: win": 0.5, "r: draw": 0.125, "r: lose": 0.375}
    clear = {"r: win": 0.75, "r: draw": 0.0, "r: lose": 0.25}
    rows = {
        row: {key: Cell(value=v, low=v - 0.1, high=v + 0.1, images=40) for key, v in cells.items()}
        for row, cells in (("a", drawn), ("b", clear))
    }
    found = outcome_bars(table(rows), "base")
    assert found is not None and found.against == "base"
    [group] = found.groups
    a, b = group.bars
    assert (group.title, a.win, a.draw, a.lose, a.low) == ("r", 20, 5, 15, None)
    assert (b.win, b.draw, b.lose, b.low, b.high) == (30, 0, 10, 0.65, 0.85)
    assert a.rate == 22.5 / 40
