"""The rows of a table over all of its rewards: the middle half of their gains, and how probably one gains more."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from benchbench.evaluate.measure import BASE
from benchbench.report.table import Cell, Column, Table, make_cell
from benchbench.reproduce.plan import Plan
from benchbench.stats.across_rewards import Gains, interquartile_mean, probability_of_improvement
from benchbench.stats.intervals import LEVEL
from benchbench.stats.paired import difference
from benchbench.stats.trainings import FEWEST_TRAININGS

MIDDLE = "gain, middle half"


def across_table(plan: Plan, table: Table, frames: Mapping[str, pd.DataFrame]) -> Table | None:
    """Returns a line for each trained row over the rewards that rows were trained on.

    None without a base, for a single reward, and where no two rows have five trainings on every reward. ``frames`` has
    the score rows behind ``table`` by row.
    """
    rewards = [c.key for c in table.columns if c.key in plan.rewards and not c.held_out]
    if len(rewards) < 2 or BASE not in frames:
        return None
    gains = {row: _gains(frames[row], frames[BASE], rewards) for row in table.rows if row != BASE and row in frames}
    enough = {row: found for row, found in gains.items() if found and min(map(len, found)) >= FEWEST_TRAININGS}
    if len(enough) < 2:
        return None
    cells: dict[str, dict[str, Cell]] = {}
    for row, found in enough.items():
        cells[row] = {MIDDLE: make_cell(interquartile_mean(found))}
        for other, theirs in enough.items():
            if other != row:
                cells[row][_ahead_of(other)] = make_cell(probability_of_improvement(found, theirs))
    columns = (Column(key=MIDDLE, unit=f"SD of {BASE}", better="higher"), *(Column(key=_ahead_of(r)) for r in enough))
    return Table(
        name=f"{table.name}-over-rewards",
        title=f"{table.title}: over {len(rewards)} rewards",
        caption=f"Gains over {BASE} in SD of its images, of all trainings on {', '.join(rewards)}: the "
        "mean of their middle half, and the probability that a training of the row gains more than one of another row, "
        f"a mean over rewards. In brackets: {LEVEL:.0%} interval by bootstrap over trainings within each reward, for "
        f"these prompts; simulated, it holds the truth in 92 to 95 of 100. Protocol {table.protocol}.",
        rows=tuple(enough),
        columns=columns,
        cells=cells,
        protocol=table.protocol,
        quick=table.quick,
    )


def _ahead_of(row: str) -> str:
    return f"P(more than {row})"


def _gains(frame: pd.DataFrame, base: pd.DataFrame, rewards: list[str]) -> Gains:
    """Returns the mean gain of each training by reward; empty where the row lacks one, or the base does not vary."""
    gains = []
    for reward in rewards:
        ours, theirs = (part[part.reward == reward] for part in (frame, base))
        if ours.empty or theirs.empty:
            return []
        found = difference(ours, theirs)
        if found.base_deviation == 0:
            return []
        gains.append(found.cells.means.mean(1) / found.base_deviation)
    return gains
