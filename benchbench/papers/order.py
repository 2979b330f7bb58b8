"""Ours beside the paper's: differences on the paper's own model, elsewhere only the order and the gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scipy.stats import kendalltau

from benchbench.papers.plan import Plan
from benchbench.papers.spec import Block
from benchbench.report.table import Table, gain, number


def beside(cells: Plan, tables: Mapping[Block, Table]) -> tuple[str, ...]:
    """One paragraph a reward and prompt set that has published values."""
    return tuple(
        line
        for block, table in tables.items()
        if block.published
        for reward in cells.rewards
        for line in _reward(cells, block, table, reward)
    )


def _reward(cells: Plan, block: Block, table: Table, reward: str) -> list[str]:
    values, column = cells.spec.values(block.published), cells.track.rewards[reward]
    both = [row for row in cells.rows if (row, column) in values and table.get(row, reward)]
    if not both:
        return []
    ours = {row: found.value for row in both if (found := table.get(row, reward))}
    theirs = {row: values[row, column] for row in both}
    where = f"{reward} on {block.prompts}"
    if cells.track_name == cells.spec.paper_track:
        differences = ", ".join(f"{row} {number(ours[row] - theirs[row], theirs[row], True)}" for row in both)
        return [f"{where}, ours less the paper's: {differences}."]
    gains = [
        f"{row} {gain(found)}" for row in cells.rows if (found := table.get(row, reward)) and found.gain is not None
    ]
    return [
        f"{where}: ours {ranked(both, ours)}; the paper on {column}, {cells.spec.paper_track}: {ranked(both, theirs)}. "
        f"{_agreement(both, ours, theirs)} Gain over the base in its standard deviations: {', '.join(gains)}."
    ]


def ranked(rows: Sequence[str], values: Mapping[str, float]) -> str:
    """``tailorpo-g > tailorpo > base``, best first."""
    return " > ".join(sorted(rows, key=lambda row: -values[row]))


def _agreement(rows: Sequence[str], ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    if len(rows) < 3:
        return ""
    tau = float(kendalltau([ours[row] for row in rows], [theirs[row] for row in rows]).statistic)
    same = sorted(rows, key=ours.__getitem__) == sorted(rows, key=theirs.__getitem__)
    return f"The order is {'the same' if same else 'another'} (Kendall's tau {tau:.2f})."
