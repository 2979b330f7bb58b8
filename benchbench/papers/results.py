"""From a store that holds everything to the report of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from benchbench.evaluate.measure import Measured
from benchbench.evaluate.run import sections
from benchbench.papers import curve, own, tasks
from benchbench.papers.cell import IMAGES
from benchbench.papers.order import beside
from benchbench.papers.plan import Plan
from benchbench.papers.spec import Block
from benchbench.protocols.reward_table import reward_table
from benchbench.report import folder
from benchbench.report.sections import Page, Records, Section, Tables, Text
from benchbench.report.table import Cell, Column, Table
from benchbench.store.files import Say


def report(cells: Plan, store: Path, say: Say) -> Path:
    """Writes the report, prints its tables, and returns its folder."""
    spec = cells.spec
    tables, measured = [], []
    more: list[Section] = []
    for block in cells.blocks:
        if spec.protocol == "curve":
            found, curves = curve.tables(cells)
            tables += found
            more += curves
        elif spec.protocol in IMAGES:
            found, parts = _block(cells, block, store, say)
            tables += found
            measured += parts
        else:
            found, steps = own.tables(cells, block, store, say)
            tables += found
            more += steps
    compared = beside(cells, dict(zip(cells.blocks, tables, strict=True))) if spec.protocol == "reward-table" else ()
    body: list[Section] = [Tables(title=f"{spec.title}, on {cells.track.model}", tables=tuple(tables))]
    if compared or spec.notes:
        body.append(Text(title="Beside the paper", paragraphs=(*compared, *spec.notes)))
    if spec.published:
        body.append(Tables(title="As published", tables=published(cells)))
    page = Page(
        title=f"{spec.title} on {cells.track.model}",
        intro=f"{spec.source}. {spec.about}",
        sections=(*body, *more, *_rest(measured[: len(cells.groups)])),
        quick=cells.quick,
    )
    out = folder.write(store, f"{spec.id.replace(':', '-')}-{cells.track_name}", page)
    for table in tables:
        say("")
        say(table.markdown().rstrip())
    for line in compared:
        say(line)
    say(f"report: {folder.page_file(out, cells.quick)}")
    return out


def _rest(measured: list[Measured]) -> list[Section]:
    """Of the first group samples and curves, of the others curves, and one section with all records."""
    rest: list[Section] = []
    records: dict[str, Any] = {}
    for i, found in enumerate(measured):
        for section in sections(found)[1:]:
            if section.kind == "records":
                records |= section.records
            elif i == 0 or section.kind in ("curves", "tables"):
                rest.append(section)
    return [*rest, Records(records=records)]


def _block(cells: Plan, block: Block, store: Path, say: Say) -> tuple[list[Table], list[Measured]]:
    """One table on one prompt set, with a table of win rates before it where that is the protocol.

    Where a column has trainings of its own, the gold reward of the same follows it.
    """
    frames: dict[str, list[pd.DataFrame]] = {row: [] for row in cells.rows}
    found, gold = [], cells.track.gold
    for group in cells.groups:
        here = [m for m in cells.measurements if m.group == group and m.block == block]
        rows = {m.row: list(m.runs) for m in here}
        one = tasks.cell(cells, here[0], rows, list(here[0].rewards)).scores(store, say)
        found.append(one)
        for row, frame in one.frames.items():
            name = f"{gold} ({group})" if group else gold
            frames[row].append(frame.assign(reward=frame.reward.where(frame.reward != gold, name)))
    rates = cells.spec.protocol == "win-rate"
    values = cells.spec.values(block.published) if block.published and not rates else {}
    columns = cells.track.rewards
    table = reward_table(
        {row: pd.concat(parts, ignore_index=True) for row, parts in frames.items() if parts},
        found[0].protocol.model_copy(update={"rewards": {k: v for f in found for k, v in f.protocol.rewards.items()}}),
        name=f"{cells.spec.id.replace(':', '-')}-{_called(cells, block)}",
        title=f"On {_called(cells, block)}{'' if _called(cells, block) == block.prompts else ' prompts'}",
        published={(r, o): values[r, c] for o, c in columns.items() for r in cells.rows if (r, c) in values},
        held_out=_held_out(cells),
        quick=cells.quick,
    )
    if values:
        pairs = ", ".join(f"{c} (beside {r})" for r, c in columns.items() if r in cells.rewards)
        scale = "" if cells.track_name == cells.spec.paper_track else "; for order, not value"
        said = f"Published: {cells.spec.source}, {cells.spec.paper_track}, on {block.published}: {pairs}{scale}."
        table = table.model_copy(update={"caption": f"{table.caption} {said}"})
    if not rates:
        return [table], found
    joined = {row: pd.concat(parts, ignore_index=True) for row, parts in frames.items()}
    return [own.win_rates(cells, block, joined, f"{table.name}-win-rate"), table], found


def _called(cells: Plan, block: Block) -> str:
    """``training`` or ``held-out``; of several held-out sets, the set's own name."""
    others = [b for b in cells.blocks if b.prompts != cells.track.train_prompts]
    if block not in others:
        return "training"
    return "held-out" if len(others) == 1 else block.prompts


def _held_out(cells: Plan) -> frozenset[str]:
    """The columns that no row was trained on."""
    gold = cells.track.gold
    if cells.groups != ("",):
        return frozenset(f"{gold} ({group})" for group in cells.groups)
    trained = {training.config.reward for training in cells.trainings}
    return frozenset({*cells.rewards, *([gold] if gold else [])} - trained)


def published(cells: Plan) -> tuple[Table, ...]:
    """The paper's own table, all of its rows and columns, a table for each of its prompt sets."""
    spec, lines = cells.spec, cells.spec.published_lines()
    tables: list[Table] = []
    for prompts in dict.fromkeys(line["prompts"] for line in lines):
        values = spec.values(prompts)
        rows, columns = list(dict.fromkeys(r for r, _ in values)), list(dict.fromkeys(c for _, c in values))
        here = [line for line in lines if line["prompts"] == prompts]
        base = " and ".join(dict.fromkeys(line["model"] for line in here))
        unit = {line["column"]: line["unit"] for line in here}
        inferred = dict.fromkeys(line["caveat"] for line in here if line["caveat"])
        tables.append(
            Table(
                name=f"{spec.id.replace(':', '-')}-published" + (f"-{prompts}" if len(tables) else ""),
                title=f"{spec.source}, as printed, on {prompts}",
                caption=f"Values of the paper on {base}: on any other model they are compared by order, not by value. "
                + "; ".join(inferred),
                rows=tuple(rows),
                columns=tuple(Column(key=c, unit=unit[c]) for c in columns),
                cells={r: {c: Cell(value=values[r, c]) for c in columns if (r, c) in values} for r in rows},
            )
        )
    return tuple(tables)
