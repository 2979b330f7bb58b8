"""A page that ranks methods, from the reports of sweeps that stop trainings in time (docs/sweeps.md).

The tables and the records of each report hold every number. Only the differences to the row that chooses among images
of the base model are worked out here, from the report's scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from benchbench.errors import UsageError
from benchbench.evaluate.measure import BASE
from benchbench.report import folder
from benchbench.report.page_file import page_file
from benchbench.report.plain import plain
from benchbench.report.sections import Page, Section, TableSection, TextSection
from benchbench.report.table import Cell, Column, Table
from benchbench.reproduce.ranked import Ranked, read_report
from benchbench.reproduce.standing import sentences
from benchbench.reproduce.stated_family import stated_family
from benchbench.runtime.files import Log
from benchbench.stats.paired import difference

F, GAIN, NFE, CALLS = "F(.2)", "gain at .05", "network evaluations", "reward calls"


def leaderboard(reports: Sequence[Path], store: Path, log: Log) -> Path:
    """Writes the page into the store, prints its tables and returns its folder.

    Errors: UsageError for a report of another kind and for two of one reward, MissingError and CorruptError for one
    that cannot be read.
    """
    read = [read_report(path) for path in reports]
    rewards = [ranked.reward for ranked in read]
    if twice := next((reward for reward in rewards if rewards.count(reward) > 1), None):
        raise UsageError(f"two reports are of {twice}", "a leaderboard has one table a reward", "name one of them")
    sections: list[Section] = []
    tables = [table(ranked) for ranked in read]
    for ranked, of_reward in zip(read, tables, strict=True):
        sections.append(TableSection(title=f"Trained on {ranked.reward}", tables=(of_reward,)))
        sections.append(TextSection(title=f"Which one, on {ranked.reward}", paragraphs=tuple(sentences(ranked))))
        sections += [*([ranked.figure] if ranked.figure else []), *ranked.grids]
    if stated := stated_family(read):
        tables.append(stated)
        sections.insert(0, TableSection(title=stated.title, tables=(stated,)))
    names = ", ".join(ranked.reward for ranked in read)
    page = Page(
        title="Leaderboard",
        answer=" ".join(sentences(ranked)[0] for ranked in read),
        intro=f"Methods that were trained on {names}, each training stopped in time on validation prompts.",
        sections=tuple(sections),
        quick=any(ranked.frontier.quick for ranked in read),
    )
    out = folder.write(store, "leaderboard", page)
    for of_reward in tables:
        log(plain(of_reward))
        log("")
    log(page.answer)
    log(f"leaderboard: {page_file(out, page.quick)}")
    return out


def table(ranked: Ranked) -> Table:
    """Returns the table of one report, the row with the highest F(.2) first."""
    reward, best = ranked.reward, ranked.best_of
    others = [column for column in ranked.once.columns if column.key != reward]
    minus_best = f"minus {best}"
    cells: dict[str, dict[str, Cell]] = {}
    for row in ranked.rows:
        frontier, once = ranked.frontier.get(row, reward), ranked.once.get(row, reward)
        found = {F: _gain(frontier), GAIN: _gain(once), minus_best: _minus(ranked, row, best)}
        for column in others:
            cell = ranked.once.get(row, column.key)
            found[column.key] = cell if cell is None or _is_share(column) else _gain(cell)
        if spent := ranked.work(row):
            found |= {NFE: Cell(value=spent.nfe), CALLS: Cell(value=spent.reward_calls)}
        cells[row] = {key: cell for key, cell in found.items() if cell is not None}
    columns = [
        Column(key=F, unit="SD of the base", better="higher"),
        Column(key=GAIN, unit="SD of the base", better="higher"),
        *([Column(key=minus_best, unit="SD of the base", better="higher")] if best else []),
        *(
            column if _is_share(column) else column.model_copy(update={"unit": "gain, SD of the base"})
            for column in others
        ),
        Column(key=NFE, better="lower"),
        Column(key=CALLS, better="lower"),
    ]
    return Table(
        name=f"leaderboard-{reward}",
        title=f"Methods trained on {reward}",
        caption=_caption(ranked, best),
        rows=tuple(cells),
        columns=tuple(columns),
        cells=cells,
        protocol=ranked.frontier.protocol,
        quick=ranked.frontier.quick,
        ahead={F: _among(ranked.frontier.ahead[reward], cells)} if reward in ranked.frontier.ahead else {},
    )


def _gain(cell: Cell | None) -> Cell | None:
    """Returns the gain of a cell, in standard deviations of the base, as its value."""
    if cell is None or cell.gain is None:
        return None
    return Cell(value=cell.gain, low=cell.gain_low, high=cell.gain_high, seeds=cell.seeds)


def _minus(ranked: Ranked, row: str, best: str | None) -> Cell | None:
    """Returns F(.2) minus the gain of the best of several images, paired by prompt; None for that row itself."""
    if best is None or row == best:
        return None
    part = ranked.scores[(ranked.scores.table == ranked.frontier.stem) & (ranked.scores.reward == ranked.reward)]
    frames = {name: part[part.row == name] for name in (row, best, BASE)}
    deviation = difference(frames[row], frames[BASE]).base_deviation
    if not deviation:
        return None
    found = difference(frames[row], frames[best], by_seed=False).raw
    low, high = (None if end is None else end / deviation for end in (found.low, found.high))
    return Cell(value=found.value / deviation, low=low, high=high, seeds=found.seeds)


def _is_share(column: Column) -> bool:
    return column.unit.startswith("fraction")


def _among(pairs: Sequence[tuple[str, str]], rows: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple((better, worse) for better, worse in pairs if better in rows and worse in rows)


def _caption(ranked: Ranked, best: str | None) -> str:
    """Returns what the columns are, how often each method was trained, and at which rate."""
    rates = [
        f"{row} {fmean(entry['config']['train']['lr'] for entry in entries):g} ({len(entries)})"
        for row, entries in ranked.trainings.items()
        if row in ranked.frontier.rows
    ]
    gradient = [row for row in ranked.rows if row in ranked.trainings and ranked.needs_gradient(row)]
    parts = [
        f"{F}: the mean gain over bearable losses; {GAIN}: at a loss of at most .05, as the columns after it",
        f"minus {best}: {F} less the gain of {best}, of which no test is made" if best else "",
        f"{NFE} and {CALLS}: of a whole training and of pairs made for it, without the images that only watch it",
        f"Learning rates (trainings): {', '.join(rates)}",
        f"Need the reward's gradient: {', '.join(gradient) or 'none'}",
    ]
    return f"{'. '.join(filter(None, parts))}. {ranked.frontier.caption}"
