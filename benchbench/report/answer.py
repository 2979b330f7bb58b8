"""The first line of a report: what was compared, and the answer in words.

It follows from the tests that a table holds and from nothing else. Where too few trainings were made for a verdict, it
says so, whatever the means are.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchbench.report.table import Table
from benchbench.stats.trainings import FEWEST_TRAININGS

MOST_NAMES = 3  # rewards that are named; of more, the number is given


def answer(table: Table, base: str = "base") -> str:
    """Returns the answer of a table with a row for each method; ``base`` is the label of the untrained model.

    Rows are compared with each other by ``table.ahead``, and with the base by the verdicts in their cells.
    """
    rows = [row for row in table.rows if table.cells.get(row)]
    trained = [row for row in rows if row != base]
    open_columns = [c.key for c in table.columns if not c.held_out] or [c.key for c in table.columns]
    held_out = [c.key for c in table.columns if c.key not in open_columns]
    compared = f"{listed(rows)} on {_rewards(open_columns)}"
    if not trained:
        return f"{compared}: one model, so nothing is compared."
    cells = [cell for row in trained for cell in table.cells[row].values()]
    without_trainings = [cell for cell in cells if cell.seeds == 1 and cell.significant is not None]
    fewest = min((cell.seeds for cell in cells if cell not in without_trainings), default=FEWEST_TRAININGS)
    if fewest < FEWEST_TRAININGS:
        return f"{compared}, {describes(fewest)}"
    tested = [key for key in open_columns if key in table.ahead]
    sentences = []
    if len(trained) == 2 and tested:
        sentences.append(_duel(table, trained[0], trained[1], tested))
    elif len(trained) > 2 and tested:
        sentences.append(_leaders(table, trained, tested))
    sentences += [_against_base(table, trained, open_columns, base), _held_out(table, trained, held_out)]
    found = "; ".join(filter(None, sentences))
    return f"{found}." if found else f"{compared}: no row is tested against another."


def comparison_answer(table: Table, first: str, second: str) -> str:
    """Returns the answer of a table with a row for each reward, whose column ``difference`` is first less second."""
    cells = {reward: cell for reward in table.rows if (cell := table.get(reward, "difference"))}
    if not cells:
        return f"{first} and {second}: nothing was compared."
    fewest = min(cell.seeds for cell in cells.values())
    if fewest < FEWEST_TRAININGS:
        return f"{first} and {second} on {_rewards(list(cells))}, {describes(fewest, 'side')}"
    better = [reward for reward, cell in cells.items() if cell.significant and cell.value > 0]
    worse = [reward for reward, cell in cells.items() if cell.significant and cell.value < 0]
    return f"{_outcome(first, second, better, worse, list(cells))}."


def measured_answer(what: str, rows: Sequence[str]) -> str:
    """Returns the answer of a measurement that tests nothing."""
    return f"{what}, measured on {listed(rows)}: the numbers describe these models; no row is tested against another."


def describes(trainings: int, of: str = "row") -> str:
    """Returns the rest of the sentence on a table of too few trainings for a verdict."""
    number = "one training" if trainings == 1 else f"{trainings} trainings"
    return f"{number} a {of}: these numbers describe these runs; a verdict takes {FEWEST_TRAININGS} trainings a {of}."


def listed(words: Sequence[str], joint: str = "and") -> str:
    """Returns the words as ``a``, ``a and b`` or ``a, b and c``; with semicolons where a word has a comma itself."""
    comma = "; " if any("," in word for word in words) else ", "
    return words[0] if len(words) == 1 else f"{comma.join(words[:-1])} {joint} {words[-1]}"


def _rewards(keys: Sequence[str]) -> str:
    return listed(keys) if len(keys) <= MOST_NAMES else f"{len(keys)} rewards"


def _on(keys: Sequence[str], tested: Sequence[str]) -> str:
    """Returns ``colour``, where that is all, or ``2 of 4 rewards (colour and clip)``."""
    if len(tested) == 1:
        return tested[0]
    if len(keys) == len(tested):
        return f"all {len(tested)} rewards"
    names = f" ({listed(keys)})" if len(keys) <= MOST_NAMES else ""
    return f"{len(keys)} of {len(tested)} rewards{names}"


def _outcome(first: str, second: str, better: list[str], worse: list[str], tested: list[str]) -> str:
    """Returns who is ahead of whom on which rewards."""
    if worse and not better:
        return _outcome(second, first, worse, better, tested)
    if not better:
        where = tested[0] if len(tested) == 1 else f"any of {len(tested)} rewards"
        return f"{first} and {second} are not told apart on {where}"
    behind = f", and behind on {listed(worse) if len(worse) <= MOST_NAMES else len(worse)}" if worse else ""
    return f"{first} is ahead of {second} on {_on(better, tested)}{behind}"


def _duel(table: Table, first: str, second: str, tested: list[str]) -> str:
    better = [key for key in tested if (first, second) in table.ahead[key]]
    worse = [key for key in tested if (second, first) in table.ahead[key]]
    return _outcome(first, second, better, worse, tested)


def _leaders(table: Table, rows: Sequence[str], tested: Sequence[str]) -> str:
    """Returns the row that is ahead of every other method on each reward, or those that no row is ahead of."""
    by_leader: dict[str, list[str]] = {}
    others: list[str] = []
    for key in tested:
        pairs, there = table.ahead[key], [row for row in rows if table.get(row, key)]
        leader = next((r for r in there if all((r, other) in pairs for other in there if other != r)), None)
        if leader is None:
            others.append(f"on {key} no row is ahead of {listed(_unbeaten(table, there, key), 'or')}")
        else:
            by_leader.setdefault(leader, []).append(key)
    parts = [f"{row} is ahead of every other method on {_on(keys, tested)}" for row, keys in by_leader.items()]
    if len(others) > MOST_NAMES:
        others = [f"on {len(others)} of {len(tested)} rewards no row is ahead of every other method"]
    return "; ".join([*parts, *others])


def _unbeaten(table: Table, rows: Sequence[str], key: str) -> list[str]:
    beaten = {worse for _, worse in table.ahead[key]}
    return [row for row in rows if row not in beaten]


def _against_base(table: Table, rows: Sequence[str], keys: Sequence[str], base: str) -> str:
    """Returns on how many rewards each row is ahead of the base, and behind it; empty where that was not tested."""
    if len(keys) == 1 and len(rows) > 1:
        return _one_by_one(table, rows, keys[0], base)
    parts = []
    for row in rows:
        verdicts = {key: cell for key in keys if (cell := table.get(row, key)) and cell.significant is not None}
        if not verdicts:
            continue
        gains = {key: cell.difference or 0.0 for key, cell in verdicts.items() if cell.significant}
        better, worse = [k for k, gain in gains.items() if gain > 0], [k for k, gain in gains.items() if gain < 0]
        if len(rows) == 1:
            return _outcome(row, base, better, worse, list(verdicts))
        behind = f" (behind on {len(worse)})" if worse else ""
        parts.append(f"{row} {len(better)} of {len(verdicts)}{behind}")
    return f"rewards ahead of {base}: {', '.join(parts)}" if parts else ""


def _one_by_one(table: Table, rows: Sequence[str], key: str, base: str) -> str:
    """Returns which rows are ahead of the base, behind it and not told apart from it, on one reward."""
    groups = _moved(table, rows, key)
    tested = sum(map(len, groups.values()))
    words = (("higher", "ahead of"), ("lower", "behind"), ("open", "not told apart from"))
    return "; ".join(
        f"{_who(groups[name], tested)} {'is' if len(groups[name]) == 1 else 'are'} {text} {base}"
        for name, text in words
        if groups[name]
    )


def _moved(table: Table, rows: Sequence[str], key: str) -> dict[str, list[str]]:
    """Returns the rows whose value is higher than the base's, lower, or not told apart from it."""
    groups: dict[str, list[str]] = {"higher": [], "lower": [], "open": []}
    for row in rows:
        cell = table.get(row, key)
        if cell and cell.significant is not None:
            higher = (cell.difference or 0.0) > 0
            groups["open" if not cell.significant else "higher" if higher else "lower"].append(row)
    return groups


def _held_out(table: Table, rows: Sequence[str], keys: Sequence[str]) -> str:
    """Returns for which rows the rewards fall and rise that nothing was trained on; empty without such a test."""
    by_words: dict[str, list[str]] = {}
    for key in keys:
        groups = _moved(table, rows, key)
        tested = sum(map(len, groups.values()))
        parts = [
            f"{verb} for {_who(groups[name], tested)}"
            for name, verb in (("lower", "falls"), ("higher", "rises"))
            if groups[name]
        ]
        if tested:
            by_words.setdefault(" and ".join(parts) or "is not told apart from the base's", []).append(key)
    return "; ".join(
        f"{listed(found)}, which nothing was trained on, {_plural(words) if len(found) > 1 else words}"
        for words, found in by_words.items()
    )


def _who(rows: Sequence[str], tested: int) -> str:
    if len(rows) == tested > 1:
        return "both" if tested == 2 else f"all {tested} rows"
    return listed(rows)


def _plural(words: str) -> str:
    return words.replace("falls", "fall").replace("rises", "rise").replace("is not", "are not")
