"""The report of a search: every checkpoint with its reward, guard and costs, and gain against the fall of the guard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchbench.evaluate.measure import Measured
from benchbench.report import folder
from benchbench.report.scores_file import write_scores
from benchbench.report.sections import Curve, CurveSection, Page, Panel, RecordSection, Section, TableSection
from benchbench.report.table import Cell, Column, Table
from benchbench.stats.intervals import Interval
from benchbench.tune.outcome import Outcome, Point, Values
from benchbench.tune.plan import BASE
from benchbench.tune.search import Search
from benchbench.tune.sentences import answer, budget_sentence, caption, remarks

CHOSEN = " (chosen)"


def write(search: Search, found: Outcome, measured: Measured, store: Path) -> Path:
    """Writes the report and returns its folder."""
    tables = _table(search, found), _by_training(search, found)
    sections: list[Section] = [TableSection(title="Every checkpoint", tables=tables)]
    if search.guard and found.points:
        sections.insert(0, _figure(search, found))
    sections.append(RecordSection(records={"search": search.model_dump(mode="json"), "measured": measured.record}))
    lines = [answer(search, found), *remarks(search, found), budget_sentence(search)]
    page = Page(
        title=f"The learning rate of {search.method} on {search.model} for {search.reward}",
        intro=" ".join(f"{line[0].upper()}{line[1:]}." for line in lines),
        sections=tuple(sections),
    )
    out = folder.write(store, f"tune-{search.name}", page)
    write_scores(out, {tables[0].stem: measured.frames})
    return out


def _table(search: Search, found: Outcome) -> Table:
    """Returns the table of all rates and checkpoints, with means over the trainings."""
    rows = {BASE: found.base} | {_label(found, point): point.values for point in found.points}
    return _of_values("checkpoints", "Rates and checkpoints", caption(search, found), search, rows)


def _by_training(search: Search, found: Outcome) -> Table:
    """Returns the table with a row for each training and checkpoint; its intervals are over prompts."""
    rows = {
        f"{point.name}, seed {seed}{CHOSEN if point == found.chosen else ''}": values
        for point in found.points
        for seed, values in point.by_seed.items()
    }
    text = "As the table before, with a row for each training; in brackets: 95% interval over prompts."
    return _of_values("trainings", "Each training", text, search, rows)


def _of_values(name: str, title: str, text: str, search: Search, rows: dict[str, Values]) -> Table:
    names = [
        search.reward,
        "gain",
        *([search.guard, "fall"] if search.guard else []),
        "network evaluations",
        "reward calls",
    ]
    return Table(
        name=f"tune-{search.name}-{name}",
        title=title,
        caption=text,
        rows=tuple(rows),
        columns=tuple(Column(key=key, held_out=key == search.guard) for key in names),
        cells={row: dict(_cells(search, values, row == BASE)) for row, values in rows.items()},
    )


def _cells(search: Search, values: Values, base: bool) -> Iterator[tuple[str, Cell]]:
    yield search.reward, _cell(values.reward)
    if search.guard and values.guard:
        yield search.guard, _cell(values.guard)
    if base:
        return
    yield "gain", _cell(values.gain)
    if values.loss is not None:
        yield "fall", Cell(value=values.loss)
    yield "network evaluations", Cell(value=values.nfe)
    yield "reward calls", Cell(value=values.reward_calls)


def _cell(interval: Interval) -> Cell:
    counts = {"images": interval.images, "prompts": interval.prompts, "seeds": interval.seeds}
    return Cell.model_validate({"value": interval.value, "low": interval.low, "high": interval.high, **counts})


def _label(found: Outcome, point: Point) -> str:
    return f"{point.name}{CHOSEN if point == found.chosen else ''}"


def _figure(search: Search, found: Outcome) -> CurveSection:
    """Returns the gain against the fall of the guard: a line a rate, from its first checkpoint to its last."""
    lines = [
        _curve(f"lr {rate:g}", [point for point in found.points if point.rate == rate])
        for rate in search.rates
        if rate not in found.failed
    ]
    if found.chosen:
        lines.append(_curve("chosen", [found.chosen]))
    text = (
        f"Gain in {search.reward} against the fall of {search.guard}, both from the base model's. A line is a learning "
        f"rate, from its first checkpoint to its last. Points to the right of {search.max_loss:g} may not be chosen."
    )
    panel = Panel(x_label=f"fall of {search.guard}", y_label=f"gain in {search.reward}", lines=tuple(lines))
    return CurveSection(title="Gain against what it costs", caption=text, panels=(panel,))


def _curve(label: str, points: list[Point]) -> Curve:
    x = tuple(point.values.loss or 0.0 for point in points)
    return Curve(label=label, x=x, y=tuple(point.values.gain.value for point in points))
