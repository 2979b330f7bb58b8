"""The report of a table, from what the store holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd

from benchbench.errors import BenchError, RunError
from benchbench.evaluate.measure import BASE, Measured
from benchbench.evaluate.reward_table import reward_table
from benchbench.report import folder
from benchbench.report.answer import answer, measured_answer
from benchbench.report.page_file import page_file
from benchbench.report.plain import plain
from benchbench.report.scores_file import Frames, write_scores
from benchbench.report.sections import Page, Section, TableSection, TextSection
from benchbench.report.table import Table
from benchbench.reproduce import curve, page_sections, protocol_tables, stopping, study
from benchbench.reproduce.across import across_table
from benchbench.reproduce.best_of import best_of
from benchbench.reproduce.claims import claims_table
from benchbench.reproduce.frontier_figure import frontier_figure
from benchbench.reproduce.measurement_job import IMAGE_PROTOCOLS
from benchbench.reproduce.order import compare_with_paper
from benchbench.reproduce.plan import Plan
from benchbench.reproduce.published_values import published_tables, with_published_words
from benchbench.reproduce.rates import rates_sentence
from benchbench.reproduce.spec import Block, Stop
from benchbench.reproduce.stopped_grid import stopped_grids
from benchbench.runtime.files import Log
from benchbench.stats.frontier import LOSSES


@dataclass
class BlockReport:
    """The parts of the report on one prompt set."""

    tables: list[Table] = field(default_factory=list)
    comparison: list[str] = field(default_factory=list)
    """Paragraphs that compare the tables with the paper's."""
    curves: list[Section] = field(default_factory=list)
    scores: dict[str, Frames] = field(default_factory=dict)
    """The score rows behind the tables, by the name of a table and by row."""
    answers: dict[str, str] = field(default_factory=dict)
    """The sentences on what the tests found, by prompt set."""
    measured: dict[str, Measured] = field(default_factory=dict)
    """Evaluations by prompt set and, where columns have their own trainings, the column's reward."""


def report(plan: Plan, store: Path, log: Log) -> Path:
    """Writes the report, prints its tables and returns its folder.

    A prompt set whose table cannot be made is left out, and the page says why. Errors: RunError where no table can be.
    """
    spec, content = plan.spec, BlockReport()
    absent = list(plan.skipped)
    for block in [plan.blocks[0]] if spec.protocol == "curve" else plan.blocks:
        try:
            part = _block_report(plan, block, store, log)
        except BenchError as error:
            absent.append(f"{block.prompts}: {error.problem} ({error.cause})")
            continue
        content.tables += part.tables
        content.comparison += part.comparison
        content.curves += part.curves
        content.scores |= part.scores
        content.answers |= part.answers
        content.measured |= part.measured
    if not content.tables and not content.curves:
        reason = "; ".join(absent) or "nothing was measured"
        raise RunError(f"there is no table of {spec.id}", reason, "run the command again")
    page = _page(plan, content, absent)
    out = folder.write(store, plan.report_name, page)
    write_scores(out, content.scores)
    for table in content.tables:
        log("")
        log(plain(table))
    log("")
    for line in [*filter(None, [page.answer]), *content.comparison, *(f"not in the table: {line}" for line in absent)]:
        log(line)
    log(f"report: {page_file(out, plan.quick)}")
    if plan.quick and not spec.file:
        log(f"next: the whole table with three trainings a row: bench reproduce {spec.id} --track {plan.track_name}")
        log("      methods, rewards and settings of your own in one table: bench sweep examples/sweep.yaml")
    return out


def _page(plan: Plan, content: BlockReport, absent: Sequence[str]) -> Page:
    """Returns the page: tables, what is absent, the comparison with the paper, the published tables, then the rest."""
    spec = plan.spec
    title = f"{spec.title}, on {plan.track.model}"
    sections: list[Section] = [TableSection(title=title, tables=tuple(content.tables))] if content.tables else []
    if absent:
        sections.append(TextSection(title="Not in the table", paragraphs=tuple(absent)))
    if content.comparison or spec.notes:
        sections.append(TextSection(title="Beside the paper", paragraphs=(*content.comparison, *spec.notes)))
    if spec.published:
        sections.append(TableSection(title="As published", tables=published_tables(spec)))
    sections += [*content.curves, *page_sections.evaluations(plan, content.measured)]
    return Page(
        title=f"{spec.title} on {plan.track.model}",
        answer=_answer(plan, content),
        intro=f"{spec.source}. {spec.about}",
        sections=(*sections, page_sections.records(plan, content.measured)),
        quick=plan.quick,
    )


def _answer(plan: Plan, content: BlockReport) -> str:
    """Returns what the tests found on each prompt set, or what was measured where nothing is tested."""
    if not content.answers:
        return measured_answer(plan.spec.title, plan.rows) if content.tables else ""
    if len(set(content.answers.values())) == 1:
        return next(iter(content.answers.values()))
    return " ".join(f"{name}: {words}" for name, words in content.answers.items())


def _block_report(plan: Plan, block: Block, store: Path, log: Log) -> BlockReport:
    if plan.spec.protocol in IMAGE_PROTOCOLS:
        return _image_report(plan, block, store, log)
    if plan.spec.protocol == "curve":
        tables, curves = curve.tables(plan)
        return BlockReport(tables, curves=curves)
    if plan.spec.protocol == "study":
        found = study.study_report(plan, block, store, log)
        answers = {f"On {block.prompts}": found.answer} if found.answer else {}
        return BlockReport(found.tables, curves=found.sections, answers=answers)
    tables, curves, scores = protocol_tables.tables(plan, block, store, log)
    return BlockReport(tables, curves=curves, scores=dict(scores))


def _image_report(plan: Plan, block: Block, store: Path, log: Log) -> BlockReport:
    """Returns the reward table of one prompt set, after a table of win rates where that is the protocol.

    Where columns have their own trainings, each is followed by a column with the gold reward of these trainings.
    """
    parts: dict[str, list[pd.DataFrame]] = {row: [] for row in plan.rows}
    bearable: dict[str, list[pd.DataFrame]] = {row: [] for row in plan.rows}
    result, gold = BlockReport(), plan.track.gold
    for group in plan.groups:
        measurements = [m for m in plan.measurements if m.group == group and m.block == block]
        plain_rows = [m for m in measurements if m.best_of == 1]
        if not plain_rows:
            continue
        measured = stopping.measured(plan, plain_rows, store, log)
        result.measured[f"{block.prompts}, {group}" if group else block.prompts] = measured
        found = stopping.stopped_frames(plan, group, measured.frames)
        of_several = {}
        for chosen in (m for m in measurements if m.best_of > 1):
            candidates = stopping.measured(plan, [chosen], store, log).frames[chosen.row]
            of_several[chosen.row] = best_of(candidates, group or plan.track.train_reward or "", chosen.best_of)
        if plan.stops:
            figure = frontier_figure(plan, group, measured.frames, of_several)
            pictures = page_sections.safely("Samples", partial(stopped_grids, plan, group, measured))
            result.curves += [*([figure] if figure else []), *pictures]
        found |= of_several
        once = stopping.stopped_frames(plan, group, measured.frames, [stopping.BEARABLE]) if plan.stops else {}
        name = f"{gold} ({group})" if group else gold
        for of_row, frames_of_row in ((parts, found), (bearable, found | once)):
            for row, frame in frames_of_row.items():
                of_row[row].append(frame.assign(reward=frame.reward.where(frame.reward != gold, name)))
    frames = {row: pd.concat(scores, ignore_index=True) for row, scores in parts.items() if scores}
    if not frames:
        raise RunError(f"{block.prompts} has no table", "none of its rows was measured", "run the command again")
    win_rates = plan.spec.protocol == "win-rate"
    table = _reward_table(plan, block, frames, result.measured, {} if win_rates else plan.published(block))
    more, result.scores = [make(plan, table, frames) for make in (claims_table, across_table)], {table.stem: frames}
    if plan.spec.stop and plan.stops:
        at_once = {row: pd.concat(scores, ignore_index=True) for row, scores in bearable.items() if scores}
        second = _reward_table(plan, block, at_once, result.measured, {})
        table = _stopped(table, plan.spec.stop, LOSSES, "")
        second = _stopped(second, plan.spec.stop, [stopping.BEARABLE], "-stopped-once")
        more.append(second)
        result.scores[second.stem] = at_once
    result.tables = [table, *filter(None, more)]
    result.answers = {table.title: answer(table, BASE)}
    if win_rates and BASE in frames:
        shares, comparisons = protocol_tables.win_rates(plan, block, frames, f"{table.name}-win-rate")
        result.tables = [shares, *result.tables]
        result.comparison = compare_with_paper(plan, block, shares, comparisons)
    elif not win_rates:
        result.comparison = compare_with_paper(plan, block, table, frames)
    return result


def _stopped(table: Table, stop: Stop, losses: Sequence[float], suffix: str) -> Table:
    """Returns a table of trainings that were stopped in time, whose caption says how."""
    title = "F(.2)" if len(losses) > 1 else f"at a loss of at most {losses[0]:g}"
    caption = f"{table.caption} {stopping.in_words(stop, losses)}"
    return table.model_copy(
        update={"name": f"{table.name}{suffix}", "title": f"{table.title}, {title}", "caption": caption}
    )


def _reward_table(
    plan: Plan,
    block: Block,
    frames: Mapping[str, pd.DataFrame],
    measured: Mapping[str, Measured],
    values: Mapping[tuple[str, str], float],
) -> Table:
    """Returns the table of one prompt set; ``values`` are the paper's by (row, published column)."""
    conditions, columns = [evaluation.conditions for evaluation in measured.values()], plan.track.rewards
    rewards = {name: version for each in conditions for name, version in each.rewards.items()}
    set_name = _set_name(plan, block)
    beside = {} if plan.on_paper_track else {ours: f"{c}, {plan.spec.paper_track}" for ours, c in columns.items()}
    table = reward_table(
        frames,
        conditions[0].model_copy(update={"rewards": rewards}),
        name=f"{plan.spec.id.replace(':', '-')}-{set_name}",
        title=f"On {set_name}{'' if set_name == block.prompts else ' prompts'}",
        published={(r, ours): values[r, c] for ours, c in columns.items() for r in plan.rows if (r, c) in values},
        held_out=_held_out(plan),
        untrained=frozenset(name for name, row in plan.spec.rows.items() if row.best_of > 1),
        quick=plan.quick,
    )
    table = table.model_copy(update={"caption": f"{table.caption} {rates_sentence(plan)}".rstrip()})
    if plan.spec.file:
        return table.model_copy(update={"caption": f"{table.caption} {plan.spec.about}"})
    if not values:
        return table
    table = with_published_words(table, beside)
    pairs = ", ".join(f"{c} (beside {r})" for r, c in columns.items() if r in plan.rewards)
    scale = "" if plan.on_paper_track else "; for order, not value"
    published = f"Published: {plan.spec.source}, {plan.spec.paper_track}, on {block.published}: {pairs}{scale}."
    return table.model_copy(update={"caption": f"{table.caption} {published}"})


def _set_name(plan: Plan, block: Block) -> str:
    """Returns ``training`` or ``held-out``; the prompt set's name where several sets are held out."""
    held_out = [b for b in plan.blocks if b.prompts != plan.track.train_prompts]
    if block not in held_out:
        return "training"
    return "held-out" if len(held_out) == 1 else block.prompts


def _held_out(plan: Plan) -> frozenset[str]:
    """Returns the columns that no row was trained on."""
    gold = plan.track.gold
    if plan.groups != ("",):
        return frozenset(f"{gold} ({group})" for group in plan.groups)
    trained = {training.config.reward for training in plan.trainings}
    return frozenset({*plan.rewards, *([gold] if gold else [])} - trained)
