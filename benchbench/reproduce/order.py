"""Sentences that compare our table with the paper's: order of the rows, and differences on the paper's base model."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import pandas as pd

from benchbench.evaluate.measure import BASE
from benchbench.evaluate.verdict_words import describes
from benchbench.report.table import Table, format_gain, format_number
from benchbench.reproduce.plan import Plan
from benchbench.reproduce.spec import Block
from benchbench.stats.intervals import LEVEL
from benchbench.stats.order import Contrasts, contrasts, kendall_tau


def compare_with_paper(plan: Plan, block: Block, table: Table, frames: Mapping[str, pd.DataFrame]) -> list[str]:
    """Returns a paragraph for each reward that has published values on this prompt set.

    ``frames`` has the score rows behind the table by row, for the tests of each two rows. A table of win rates has a
    column ``reward: win`` for each reward.
    """
    paragraphs = (_paragraph(plan, block, table, reward, frames) for reward in plan.rewards)
    return [paragraph for paragraph in paragraphs if paragraph]


def _paragraph(plan: Plan, block: Block, table: Table, reward: str, frames: Mapping[str, pd.DataFrame]) -> str:
    published, column = plan.published(block), plan.track.rewards[reward]
    key = f"{reward}: win" if plan.spec.protocol == "win-rate" else reward
    cells = {row: cell for row in plan.rows if (cell := table.get(row, key))}
    rows = [row for row in cells if (row, column) in published]
    if len(rows) < (1 if plan.on_paper_track else 2):
        return ""
    ours = {row: cells[row].value for row in rows}
    papers = {row: published[row, column] for row in rows}
    where = f"{key} on {block.prompts}"
    agreement = _agreement(rows, ours, papers, {row: frames[row][frames[row].reward == reward] for row in cells})
    if plan.on_paper_track:
        differences = ", ".join(f"{row} {format_number(ours[row] - papers[row], papers[row], True)}" for row in rows)
        return " ".join(filter(None, [f"{where}, ours less the paper's: {differences}.", agreement]))
    gains = [f"{row} {format_gain(cell)}" for row, cell in cells.items() if cell.gain is not None]
    sentences = [
        f"{where}: ours {ranked(rows, ours)}; the paper on {column}, {plan.spec.paper_track}: {ranked(rows, papers)}.",
        agreement,
        f"Gain over the base in its standard deviations: {', '.join(gains)}." if gains else "",
    ]
    return " ".join(filter(None, sentences))


def ranked(rows: Sequence[str], values: Mapping[str, float]) -> str:
    """Returns the rows as ``tailorpo-g > tailorpo > base``, best first; equal values are joined by ``=``."""
    order_of_rows = _sorted(rows, values)
    text = order_of_rows[0]
    for better, worse in itertools.pairwise(order_of_rows):
        text += f" {'>' if values[better] > values[worse] else '='} {worse}"
    return text


def _sorted(rows: Sequence[str], values: Mapping[str, float]) -> list[str]:
    return sorted(rows, key=lambda row: -values[row])


def _agreement(
    rows: Sequence[str],
    ours: Mapping[str, float],
    papers: Mapping[str, float],
    frames: Mapping[str, pd.DataFrame],
) -> str:
    """Returns sentences with Kendall's tau-b of the two orders, and which of our rows are told apart."""
    if len(rows) < 2:
        return ""
    sentences, our_order, papers_order = [], _sorted(rows, ours), _sorted(rows, papers)
    tau = kendall_tau([ours[row] for row in rows], [papers[row] for row in rows])
    if not math.isnan(tau) and len(rows) > 2:  # NaN where all rows of one side are equal
        verdict = "the same" if our_order == papers_order else "another"
        sentences.append(f"The order is {verdict} (Kendall's tau {tau:.2f}).")
    return " ".join([*sentences, told_apart(contrasts(frames, (BASE,)))])


def told_apart(found: Contrasts) -> str:
    """Returns sentences on the paired tests of each two rows; without enough trainings, what the order describes."""
    if not found.decided:
        return f"{describes([found.fewest])}."
    method = f"paired tests of each two rows ({found.tests}, Holm's correction, {1 - LEVEL:.0%})"
    apart = ", ".join(f"{better} > {worse}" for better, worse in found.apart)
    together = ", ".join(f"{one} and {other}" for one, other in found.together)
    sentences = [f"Told apart by {method}: {apart or 'none'}."]
    if together:
        sentences.append(f"Not told apart: {together}.")
    if found.dropped:
        seeds = ", ".join(map(str, found.dropped))
        sentences.append(f"Left out of these tests, since one row lacks them: training seeds {seeds}.")
    return " ".join(sentences)
