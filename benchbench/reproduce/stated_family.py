"""The orders that several sweeps stated beforehand, tested as one family: a leaderboard claims all of them at once."""

from __future__ import annotations

from collections.abc import Sequence

from benchbench.report.table import Cell, Column, Table
from benchbench.reproduce.ranked import Ranked
from benchbench.stats.intervals import LEVEL
from benchbench.stats.multiple import holm


def stated_family(reports: Sequence[Ranked]) -> Table | None:
    """Returns a row for each stated order and a column for each reward; None where fewer than two reports tested any.

    Reports are of different rewards. Each cell is that of its own report, but for the correction: Holm's over the cells
    of all reports.
    """
    tested = [(ranked.reward, ranked.stated) for ranked in reports if ranked.stated]
    untested = [ranked.reward for ranked in reports if not ranked.stated]
    if len(tested) < 2:
        return None
    cells = {(row, key): cell for key, table in tested for row in table.rows if (cell := table.get(row, key))}
    adjusted = holm([_p(cell) for cell in cells.values()])
    by_row: dict[str, dict[str, Cell]] = {}
    for ((row, key), cell), p in zip(cells.items(), adjusted, strict=True):
        verdict = {"p_holm": p, "significant": p < 1 - LEVEL, "trainings_needed": None}
        by_row.setdefault(row, {})[key] = cell.model_copy(update=verdict)
    return Table(
        name="leaderboard-stated",
        title="Stated beforehand, on all rewards",
        caption=f"F(.2) of the first row less that of the second, for each order that was stated before anything was "
        f"run, on each reward that the rows were trained on; paired by training seed and prompt. SD: in standard "
        f"deviations of the base over its images. *: told apart from zero at {1 - LEVEL:.0%}, after Holm's correction "
        f"for all {len(cells)} of them." + (f" Without verdicts: {', '.join(untested)}." if untested else ""),
        rows=tuple(by_row),
        columns=tuple(_column(table, key) for key, table in tested),
        cells=by_row,
        quick=any(table.quick for _, table in tested),
    )


def _p(cell: Cell) -> float:
    assert cell.p is not None, "a stated order is in a table where it has enough trainings for a verdict"
    return cell.p


def _column(table: Table, key: str) -> Column:
    return next(column for column in table.columns if column.key == key)
