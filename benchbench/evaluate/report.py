"""An evaluation with its report: one row for the base model and for each adapter, one column per reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchbench.errors import UsageError
from benchbench.evaluate.edits import source_picture
from benchbench.evaluate.measure import BASE, Measured, measure
from benchbench.evaluate.rates import with_rates
from benchbench.evaluate.reward_table import reward_table
from benchbench.hub.models import LocalModel
from benchbench.report import curves, folder, grids
from benchbench.report.answer import answer
from benchbench.report.scores_file import write_scores
from benchbench.report.sections import Page, RecordSection, Section, TableSection, TextSection
from benchbench.report.table import Table
from benchbench.runtime.hashing import one_hash_cache
from benchbench.runtime.words import counted
from benchbench.store.runs import Adapter, AdapterReference, find_adapter
from benchbench.types import PromptSet, Reward


@dataclass(frozen=True)
class EvalResult:
    """Score rows by row label, the table, the sentence that answers it, and the folder of the report."""

    frames: dict[str, pd.DataFrame]
    table: Table
    answer: str
    folder: Path


def evaluate(
    model: str | LocalModel,
    adapters: Sequence[AdapterReference],
    prompts: PromptSet,
    rewards: Sequence[str | type[Reward]],
    *,
    store: Path,
    rows: Mapping[str, Sequence[AdapterReference]] | None = None,
    quick: bool = False,
    **options: Any,
) -> EvalResult:
    """Evaluates the base model, each adapter and each of ``rows``, and writes the report.

    An adapter's row is named by its run; ``rows`` maps a label to the trainings of one row, one of each seed.
    Takes the options of ``measure``. Raises what ``measure`` raises, and UsageError if two rows would have one name.
    """
    found: dict[str, list[Adapter]] = {BASE: []}
    with one_hash_cache():
        for reference in adapters:
            adapter = find_adapter(store, reference)
            _add_row(found, adapter.label, [adapter], _name(reference))
        for label, references in (rows or {}).items():
            named = ", ".join(map(_name, references))
            _add_row(found, label, [find_adapter(store, reference) for reference in references], named)
    measured = measure(model, found, prompts, rewards, store=store, **options)
    conditions = measured.conditions
    trained_on = {run.config.get("config", {}).get("reward") for run in measured.runs}
    held_out = frozenset(conditions.rewards) - trained_on if trained_on else frozenset()
    table = reward_table(measured.frames, conditions, name=f"rewards-{prompts.name}", held_out=held_out, quick=quick)
    table = with_rates(table, found)
    images = len(prompts) * conditions.images_per_prompt * len(conditions.eval_seeds)
    page = Page(
        title=f"{conditions.model} on {prompts.name}",
        answer=answer(table, BASE),
        intro=f"{_row_names(len(adapters), len(rows or {}))}, {counted(images, 'image')} for each training. "
        "In brackets are 95% intervals over prompts.",
        sections=report_sections(measured, table, labels=_curve_labels(found, rows or {})),
        quick=quick,
    )
    report_folder = folder.write(store, f"eval-{conditions.model}-{prompts.name}", page)
    write_scores(report_folder, {table.stem: measured.frames})
    return EvalResult(measured.frames, table, page.answer, report_folder)


def _name(reference: AdapterReference) -> str:
    return reference.label if isinstance(reference, Adapter) else str(reference)


def _add_row(rows: dict[str, list[Adapter]], label: str, adapters: list[Adapter], named: str) -> None:
    if label in rows:
        raise UsageError(f"two rows would be called {label}", f"{named} is the second", "name each once, or rename one")
    rows[label] = adapters


def _curve_labels(found: Mapping[str, Sequence[Adapter]], rows: Mapping[str, object]) -> dict[Path, str]:
    """Returns the labels of the training curves of ``rows``, by the folders of the runs."""
    return {adapter.run.path: label for label in rows for adapter in found[label] if adapter.run}


def _row_names(adapters: int, rows: int) -> str:
    others = [counted(adapters, "adapter")] * bool(adapters) + [counted(rows, "row")] * bool(rows)
    return ", ".join(["The base model", *others[:-1]]) + (f" and {others[-1]}" if others else "")


def report_sections(
    measured: Measured, *tables: Table, labels: Mapping[Path, str] | None = None
) -> tuple[Section, ...]:
    """Returns the body of a report on measured rows: tables, samples, training curves, warnings and records.

    ``labels`` names the curves of runs by the runs' folders; other curves are named by their method.
    """
    first_generations = [generations[0] for generations in measured.generations.values()]
    grid = grids.sample_grid(first_generations, source=source_picture(first_generations[0]))
    sections: list[Section] = [TableSection(title="Rewards", tables=tables), grid]
    sections += curves.from_runs(measured.runs, labels)
    blank = {row: sum(g.blank for g in generations) for row, generations in measured.generations.items()}
    if any(blank.values()):
        counts = ", ".join(f"{row} {count}" for row, count in blank.items() if count)
        sections.append(
            TextSection(title="Warnings", paragraphs=(f"Images that are black or of one colour: {counts}.",))
        )
    trainings = {run.id: {**run.config, "done": run.done} for run in measured.runs}
    return (*sections, RecordSection(records={"this evaluation": measured.record, **trainings}))
