"""Ours beside the paper's: differences on the paper's own model, elsewhere only the order and the gain."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import kendalltau

from benchbench.papers.plan import Plan
from benchbench.report.table import Table, gain, number


def beside(plan: Plan, track: str, table: Table) -> tuple[str, ...]:
    """One paragraph a reward. A difference of values is stated only where both are of the same base model."""
    values = plan.spec.values()
    lines = []
    for reward in plan.rewards:
        column = plan.track.rewards[reward]
        both = [row for row in plan.rows if (row, column) in values and table.get(row, reward)]
        ours = {row: found.value for row in both if (found := table.get(row, reward))}
        theirs = {row: values[row, column] for row in both}
        if track == plan.spec.paper_track:
            differences = ", ".join(f"{row} {number(ours[row] - theirs[row], theirs[row], True)}" for row in both)
            lines.append(f"{reward}, ours less the paper's: {differences}.")
            continue
        gains = [f"{row} {gain(found)}" for row in both if (found := table.get(row, reward)) and found.gain is not None]
        lines.append(
            f"{reward}: ours {ranked(both, ours)}; the paper on {column}, SD 1.5: {ranked(both, theirs)}. "
            f"{_agreement(both, ours, theirs)} Gain over the base in its standard deviations: {', '.join(gains)}."
        )
    return tuple(lines)


def ranked(rows: Sequence[str], values: dict[str, float]) -> str:
    """``tailorpo-g > tailorpo > base``, best first."""
    return " > ".join(sorted(rows, key=lambda row: -values[row]))


def _agreement(rows: Sequence[str], ours: dict[str, float], theirs: dict[str, float]) -> str:
    if len(rows) < 3:
        return ""
    tau = float(kendalltau([ours[row] for row in rows], [theirs[row] for row in rows]).statistic)
    same = sorted(rows, key=ours.__getitem__) == sorted(rows, key=theirs.__getitem__)
    return f"The order is {'the same' if same else 'another'} (Kendall's tau {tau:.2f})."
