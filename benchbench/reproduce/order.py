"""Ours beside the paper's: the order of the rows; differences on the paper's own model, elsewhere the gain."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import pandas as pd
from scipy.stats import kendalltau

from benchbench.report.table import Table, format_gain, format_number
from benchbench.reproduce.plan import Plan
from benchbench.reproduce.spec import Block
from benchbench.stats import order


def compare_with_paper(plan: Plan, block: Block, table: Table, frames: Mapping[str, pd.DataFrame]) -> list[str]:
    """Returns a paragraph for each reward of a prompt set that has published values.

    ``frames`` are the rows behind the table, whose resamples say how sure our order is. A table of win rates has a
    column ``reward: win`` for each reward.
    """
    return [line for reward in plan.rewards if (line := _paragraph(plan, block, table, reward, frames))]


def _paragraph(plan: Plan, block: Block, table: Table, reward: str, frames: Mapping[str, pd.DataFrame]) -> str:
    values, column = plan.published(block), plan.track.rewards[reward]
    key = f"{reward}: win" if plan.spec.protocol == "win-rate" else reward
    both = [row for row in plan.rows if (row, column) in values and table.get(row, key)]
    if len(both) < (1 if plan.on_paper_track else 2):
        return ""  # nothing to put in order
    ours = {row: found.value for row in both if (found := table.get(row, key))}
    theirs = {row: values[row, column] for row in both}
    where = f"{key} on {block.prompts}"
    agreement = _agreement(both, ours, theirs, {row: frames[row][frames[row].reward == reward] for row in both})
    if plan.on_paper_track:
        differences = ", ".join(f"{row} {format_number(ours[row] - theirs[row], theirs[row], True)}" for row in both)
        return " ".join(filter(None, [f"{where}, ours less the paper's: {differences}.", agreement]))
    gains = [
        f"{row} {format_gain(found)}" for row in plan.rows if (found := table.get(row, key)) and found.gain is not None
    ]
    sentences = [
        f"{where}: ours {ranked(both, ours)}; the paper on {column}, {plan.spec.paper_track}: {ranked(both, theirs)}.",
        agreement,
        f"Gain over the base in its standard deviations: {', '.join(gains)}." if gains else "",
    ]
    return " ".join(filter(None, sentences))


def ranked(rows: Sequence[str], values: Mapping[str, float]) -> str:
    """Returns the rows as ``tailorpo-g > tailorpo > base``, best first; equal values are joined by ``=``."""
    best = _sorted(rows, values)
    text = best[0]
    for a, b in itertools.pairwise(best):
        text += f" {'>' if values[a] > values[b] else '='} {b}"
    return text


def _sorted(rows: Sequence[str], values: Mapping[str, float]) -> list[str]:
    return sorted(rows, key=lambda row: -values[row])


def _agreement(
    rows: Sequence[str],
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    frames: Mapping[str, pd.DataFrame],
) -> str:
    """Says Kendall's tau-b of the two orders, and how often each comes out when prompts and trainings are redrawn."""
    if len(rows) < 2:
        return ""
    sentences, mine, paper = [], _sorted(rows, ours), _sorted(rows, theirs)
    tau = float(kendalltau([ours[row] for row in rows], [theirs[row] for row in rows]).statistic)
    if tau == tau and len(rows) > 2:  # NaN where one side is all ties
        sentences.append(f"The order is {'the same' if mine == paper else 'another'} (Kendall's tau {tau:.2f}).")
    held = order.order_frequencies(frames, [mine, paper])
    redrawn = "prompts and trainings" if any(_trainings(frame) > 1 for frame in frames.values()) else "prompts"
    those = f"In {order.RESAMPLES:,} resamples of {redrawn}"
    if len(set(ours.values())) < len(rows):
        sentences.append(
            f"{those} the paper's comes out in {held[1]:.0%}; ours has rows that are level, and no one order."
        )
    else:
        also = "" if mine == paper else f", the paper's in {held[1]:.0%}"
        sentences.append(f"{those} ours comes out in {held[0]:.0%}{also}.")
    return " ".join(sentences)


def _trainings(frame: pd.DataFrame) -> int:
    return int(frame.train_seed.nunique()) if "train_seed" in frame else 1
