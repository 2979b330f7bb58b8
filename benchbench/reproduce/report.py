"""From a store that holds everything to the report of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from benchbench.errors import BenchError, RunError
from benchbench.evaluate.measure import BASE, Measured
from benchbench.evaluate.reward_table import reward_table
from benchbench.report import folder
from benchbench.report.sections import Page, Section, TableSection, TextSection
from benchbench.report.table import Table
from benchbench.reproduce import curve, jobs, page_sections, protocol_tables
from benchbench.reproduce.measurement_job import IMAGES
from benchbench.reproduce.order import beside
from benchbench.reproduce.plan import Plan
from benchbench.reproduce.published_values import printed
from benchbench.reproduce.spec import Block
from benchbench.runtime.files import Say


@dataclass
class Made:
    """What a prompt set gives: tables, what is said beside the paper, curves, and evaluations by what they are of."""

    tables: list[Table] = field(default_factory=list)
    compared: list[str] = field(default_factory=list)
    curves: list[Section] = field(default_factory=list)
    measured: dict[str, Measured] = field(default_factory=dict)


def report(cells: Plan, store: Path, say: Say) -> Path:
    """Writes the report, prints its tables, and returns its folder.

    A prompt set whose table cannot be made is left out, and the page says why. Errors: RunError where none can.
    """
    spec, every = cells.spec, Made()
    absent = list(cells.skipped)
    for block in [cells.blocks[0]] if spec.protocol == "curve" else cells.blocks:
        try:
            made = _made(cells, block, store, say)
        except BenchError as error:
            absent.append(f"{block.prompts}: {error.problem} ({error.cause})")
            continue
        every.tables += made.tables
        every.compared += made.compared
        every.curves += made.curves
        every.measured |= made.measured
    if not every.tables:
        raise RunError(f"there is no table of {spec.id}", "; ".join(absent) or "nothing was measured", "run it again")
    body: list[Section] = [TableSection(title=f"{spec.title}, on {cells.track.model}", tables=tuple(every.tables))]
    if absent:
        body.append(TextSection(title="Not in the table", paragraphs=tuple(absent)))
    if every.compared or spec.notes:
        body.append(TextSection(title="Beside the paper", paragraphs=(*every.compared, *spec.notes)))
    if spec.published:
        body.append(TableSection(title="As published", tables=printed(spec)))
    page = Page(
        title=f"{spec.title} on {cells.track.model}",
        intro=f"{spec.source}. {spec.about}",
        sections=(
            *body,
            *every.curves,
            *page_sections.evaluations(cells, every.measured),
            page_sections.records(cells, every.measured),
        ),
        quick=cells.quick,
    )
    out = folder.write(store, f"{spec.id.replace(':', '-')}-{cells.track_name}", page)
    for table in every.tables:
        say("")
        say(table.markdown().rstrip())
    for line in [*every.compared, *(f"not in the table: {line}" for line in absent)]:
        say(line)
    say(f"report: {folder.page_file(out, cells.quick)}")
    return out


def _made(cells: Plan, block: Block, store: Path, say: Say) -> Made:
    if cells.spec.protocol == "curve":
        return Made(*_two(curve.tables(cells)))
    if cells.spec.protocol in IMAGES:
        return _of_images(cells, block, store, say)
    return Made(*_two(protocol_tables.tables(cells, block, store, say)))


def _two(found: tuple[list[Table], list[Section]]) -> tuple[list[Table], list[str], list[Section]]:
    return found[0], [], found[1]


def _of_images(cells: Plan, block: Block, store: Path, say: Say) -> Made:
    """One table on one prompt set, with a table of win rates before it where that is the protocol.

    Where a column has trainings of its own, the gold reward of the same follows it.
    """
    parts: dict[str, list[pd.DataFrame]] = {row: [] for row in cells.rows}
    made, gold = Made(), cells.track.gold
    for group in cells.groups:
        here = [m for m in cells.measurements if m.group == group and m.block == block]
        if not here:
            continue
        rows = {m.row: list(m.runs) for m in here}
        one = jobs.cell(cells, here[0], rows, list(here[0].rewards)).scores(store, say)
        made.measured[f"{block.prompts}, {group}" if group else block.prompts] = one
        for row, frame in one.frames.items():
            name = f"{gold} ({group})" if group else gold
            parts[row].append(frame.assign(reward=frame.reward.where(frame.reward != gold, name)))
    frames = {row: pd.concat(found, ignore_index=True) for row, found in parts.items() if found}
    if not frames:
        raise RunError(f"nothing is known of {block.prompts}", "no row of it was measured", "run it again")
    rates = cells.spec.protocol == "win-rate"
    table = _rewards(cells, block, frames, made.measured, {} if rates else cells.published(block))
    made.tables = [table]
    if rates and BASE in frames:
        shares, won = protocol_tables.win_rates(cells, block, frames, f"{table.name}-win-rate")
        made.tables = [shares, table]
        made.compared = beside(cells, block, shares, won)
    elif not rates:
        made.compared = beside(cells, block, table, frames)
    return made


def _rewards(
    cells: Plan,
    block: Block,
    frames: Mapping[str, pd.DataFrame],
    measured: Mapping[str, Measured],
    values: Mapping[tuple[str, str], float],
) -> Table:
    every, columns = list(measured.values()), cells.track.rewards
    table = reward_table(
        frames,
        every[0].protocol.model_copy(update={"rewards": {k: v for f in every for k, v in f.protocol.rewards.items()}}),
        name=f"{cells.spec.id.replace(':', '-')}-{_called(cells, block)}",
        title=f"On {_called(cells, block)}{'' if _called(cells, block) == block.prompts else ' prompts'}",
        published={(r, o): values[r, c] for o, c in columns.items() for r in cells.rows if (r, c) in values},
        held_out=_held_out(cells),
        quick=cells.quick,
    )
    if not values:
        return table
    pairs = ", ".join(f"{c} (beside {r})" for r, c in columns.items() if r in cells.rewards)
    scale = "" if cells.on_paper_track else "; for order, not value"
    said = f"Published: {cells.spec.source}, {cells.spec.paper_track}, on {block.published}: {pairs}{scale}."
    return table.model_copy(update={"caption": f"{table.caption} {said}"})


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
