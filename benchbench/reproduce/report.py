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
from benchbench.reproduce import curve, page_sections, protocol_tables
from benchbench.reproduce.measurement_job import IMAGE_PROTOCOLS
from benchbench.reproduce.measurement_spec import measurement_spec
from benchbench.reproduce.order import compare_with_paper
from benchbench.reproduce.plan import Plan
from benchbench.reproduce.published_values import published_tables
from benchbench.reproduce.spec import Block
from benchbench.runtime.files import Log


@dataclass
class BlockReport:
    """What the report says of one prompt set."""

    tables: list[Table] = field(default_factory=list)
    compared: list[str] = field(default_factory=list)
    """Paragraphs that set the tables beside the paper's."""
    curves: list[Section] = field(default_factory=list)
    measured: dict[str, Measured] = field(default_factory=dict)
    """Evaluations by prompt set and, where a column has trainings of its own, its reward."""


def report(plan: Plan, store: Path, log: Log) -> Path:
    """Writes the report, prints its tables, and returns its folder.

    A prompt set whose table cannot be made is left out, and the page says why. Errors: RunError where none can.
    """
    spec, whole = plan.spec, BlockReport()
    absent = list(plan.skipped)
    for block in [plan.blocks[0]] if spec.protocol == "curve" else plan.blocks:
        try:
            part = _block_report(plan, block, store, log)
        except BenchError as error:
            absent.append(f"{block.prompts}: {error.problem} ({error.cause})")
            continue
        whole.tables += part.tables
        whole.compared += part.compared
        whole.curves += part.curves
        whole.measured |= part.measured
    if not whole.tables:
        raise RunError(f"there is no table of {spec.id}", "; ".join(absent) or "nothing was measured", "run it again")
    body: list[Section] = [TableSection(title=f"{spec.title}, on {plan.track.model}", tables=tuple(whole.tables))]
    if absent:
        body.append(TextSection(title="Not in the table", paragraphs=tuple(absent)))
    if whole.compared or spec.notes:
        body.append(TextSection(title="Beside the paper", paragraphs=(*whole.compared, *spec.notes)))
    if spec.published:
        body.append(TableSection(title="As published", tables=published_tables(spec)))
    page = Page(
        title=f"{spec.title} on {plan.track.model}",
        intro=f"{spec.source}. {spec.about}",
        sections=(
            *body,
            *whole.curves,
            *page_sections.evaluations(plan, whole.measured),
            page_sections.records(plan, whole.measured),
        ),
        quick=plan.quick,
    )
    out = folder.write(store, f"{spec.id.replace(':', '-')}-{plan.track_name}", page)
    for table in whole.tables:
        log("")
        log(table.markdown().rstrip())
    for line in [*whole.compared, *(f"not in the table: {line}" for line in absent)]:
        log(line)
    log(f"report: {folder.page_file(out, plan.quick)}")
    return out


def _block_report(plan: Plan, block: Block, store: Path, log: Log) -> BlockReport:
    if plan.spec.protocol in IMAGE_PROTOCOLS:
        return _image_report(plan, block, store, log)
    if plan.spec.protocol == "curve":
        tables, curves = curve.tables(plan)
    else:
        tables, curves = protocol_tables.tables(plan, block, store, log)
    return BlockReport(tables, curves=curves)


def _image_report(plan: Plan, block: Block, store: Path, log: Log) -> BlockReport:
    """Returns one table on one prompt set, with a table of win rates before it where that is the protocol.

    Where a column has trainings of its own, their gold reward follows it.
    """
    parts: dict[str, list[pd.DataFrame]] = {row: [] for row in plan.rows}
    result, gold = BlockReport(), plan.track.gold
    for group in plan.groups:
        here = [m for m in plan.measurements if m.group == group and m.block == block]
        if not here:
            continue
        rows = {m.row: list(m.runs) for m in here}
        spec = measurement_spec(plan, here[0], rows, list(here[0].rewards))
        measured = spec.measure_images(store, log)
        result.measured[f"{block.prompts}, {group}" if group else block.prompts] = measured
        for row, frame in measured.frames.items():
            name = f"{gold} ({group})" if group else gold
            parts[row].append(frame.assign(reward=frame.reward.where(frame.reward != gold, name)))
    frames = {row: pd.concat(found, ignore_index=True) for row, found in parts.items() if found}
    if not frames:
        raise RunError(f"nothing is known of {block.prompts}", "no row of it was measured", "run it again")
    rates = plan.spec.protocol == "win-rate"
    table = _reward_table(plan, block, frames, result.measured, {} if rates else plan.published(block))
    result.tables = [table]
    if rates and BASE in frames:
        shares, won = protocol_tables.win_rates(plan, block, frames, f"{table.name}-win-rate")
        result.tables = [shares, table]
        result.compared = compare_with_paper(plan, block, shares, won)
    elif not rates:
        result.compared = compare_with_paper(plan, block, table, frames)
    return result


def _reward_table(
    plan: Plan,
    block: Block,
    frames: Mapping[str, pd.DataFrame],
    measured: Mapping[str, Measured],
    values: Mapping[tuple[str, str], float],
) -> Table:
    evaluations, columns = list(measured.values()), plan.track.rewards
    table = reward_table(
        frames,
        evaluations[0].conditions.model_copy(
            update={"rewards": {k: v for f in evaluations for k, v in f.conditions.rewards.items()}}
        ),
        name=f"{plan.spec.id.replace(':', '-')}-{_set_name(plan, block)}",
        title=f"On {_set_name(plan, block)}{'' if _set_name(plan, block) == block.prompts else ' prompts'}",
        published={(r, o): values[r, c] for o, c in columns.items() for r in plan.rows if (r, c) in values},
        held_out=_held_out(plan),
        quick=plan.quick,
    )
    if not values:
        return table
    pairs = ", ".join(f"{c} (beside {r})" for r, c in columns.items() if r in plan.rewards)
    scale = "" if plan.on_paper_track else "; for order, not value"
    published = f"Published: {plan.spec.source}, {plan.spec.paper_track}, on {block.published}: {pairs}{scale}."
    return table.model_copy(update={"caption": f"{table.caption} {published}"})


def _set_name(plan: Plan, block: Block) -> str:
    """Returns ``training`` or ``held-out``, or the set's own name where several are held out."""
    others = [b for b in plan.blocks if b.prompts != plan.track.train_prompts]
    if block not in others:
        return "training"
    return "held-out" if len(others) == 1 else block.prompts


def _held_out(plan: Plan) -> frozenset[str]:
    """Returns the columns that no row was trained on."""
    gold = plan.track.gold
    if plan.groups != ("",):
        return frozenset(f"{gold} ({group})" for group in plan.groups)
    trained = {training.config.reward for training in plan.trainings}
    return frozenset({*plan.rewards, *([gold] if gold else [])} - trained)
