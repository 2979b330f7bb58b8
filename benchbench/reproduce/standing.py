"""Sentences of a leaderboard: which row is ahead, and which method suits a reward that is dear or has no gradient."""

from __future__ import annotations

from collections.abc import Sequence

from benchbench.report.answer import describes, listed
from benchbench.report.table import format_number
from benchbench.reproduce.ranked import Ranked
from benchbench.stats.trainings import FEWEST_TRAININGS


def sentences(ranked: Ranked) -> list[str]:
    """Returns what the table of one reward says, the row that is ahead first."""
    if not ranked.rows:
        return [f"On {ranked.reward} no row has a gain."]
    methods = [row for row in ranked.rows if row in ranked.trainings]
    found = [_first(ranked), _against_best_of(ranked, methods)]
    calls = {row: work.reward_calls for row in methods if (work := ranked.work(row))}
    if calls:
        few = [row for row in calls if calls[row] <= 1.1 * min(calls.values())]
        found.append(f"With the fewest reward calls ({min(calls.values()):,.0f} a training): {_highest(ranked, few)}.")
    without = [row for row in methods if not ranked.needs_gradient(row)]
    if without and len(without) < len(methods):
        found.append(f"Where the reward has no gradient: {_highest(ranked, without)}.")
    found.append("Where nobody can watch an oracle this page does not help: it stopped every training by one.")
    return [sentence for sentence in found if sentence]


def _first(ranked: Ranked) -> str:
    """Returns which row has the highest F(.2), and from which rows tests do not tell it apart."""
    best = ranked.rows[0]
    said = f"On {ranked.reward}: {_highest(ranked, ranked.rows)}"
    seeds = [cell.seeds for row in ranked.trainings if (cell := ranked.frontier.get(row, ranked.reward))]
    if min(seeds, default=FEWEST_TRAININGS) < FEWEST_TRAININGS:
        return f"{said}; {describes(min(seeds))}"
    apart = {worse for better, worse in ranked.frontier.ahead.get(ranked.reward, ()) if better == best}
    level = [row for row in ranked.rows[1:] if row not in apart]
    return f"{said}, not told apart from {listed(level)}." if level else f"{said}, told apart from every other row."


def _against_best_of(ranked: Ranked, methods: Sequence[str]) -> str:
    best = ranked.best_of
    gain = ranked.gain(best) if best else None
    if best is None or gain is None:
        return ""
    below = [row for row in methods if (own := ranked.gain(row)) is not None and own <= gain]
    if not below:
        return f"Every method has a higher mean F(.2) than {best} ({_sd(gain)})."
    return f"The mean F(.2) is no higher than that of {best} ({_sd(gain)}) for {listed(below)}."


def _highest(ranked: Ranked, rows: Sequence[str]) -> str:
    """Returns the first of some rows with its F(.2); ``rows`` are in order."""
    gain = ranked.gain(rows[0])
    return rows[0] if gain is None else f"{rows[0]} has the highest F(.2), {_sd(gain)}"


def _sd(gain: float) -> str:
    return f"{format_number(gain, 1, True)} SD"
