"""Sections of a table's page besides the table: samples, training curves, warnings and records.

A section that cannot be made is replaced by a note, so that it never costs the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchbench.diffusion import backbones
from benchbench.evaluate.measure import Measured
from benchbench.evaluate.report import report_sections
from benchbench.hub import models
from benchbench.report.sections import RecordSection, Section, TextSection
from benchbench.reproduce.plan import Plan
from benchbench.runtime.provenance import record
from benchbench.store import runs


def row_labels(plan: Plan) -> dict[Path, str]:
    """Returns the row of each training's folder, which names its curve: one method may have several rows."""
    return {training.out: training.row for training in plan.trainings}


def evaluations(plan: Plan, measured: Mapping[str, Measured]) -> list[Section]:
    """Returns the samples of the first evaluation, the curves of the first prompt set, and every warning.

    Trainings that were stopped in time have samples of their own (stopped_grid.py).
    """
    chosen: list[Section] = []
    first_prompts = next(iter(plan.blocks)).prompts
    for i, (name, evaluation) in enumerate(measured.items()):
        for section in safely(f"Around {name}", partial(_around_table, evaluation, row_labels(plan))):
            if plan.stops and section.kind == "grid":
                continue
            if section.kind == "text":
                chosen.append(section.model_copy(update={"title": f"{section.title}: {name}"}))
            elif section.kind != "records" and (i == 0 or (section.kind != "grid" and name.startswith(first_prompts))):
                chosen += [] if section in chosen else [section]  # columns that share trainings share their curves
    return chosen


def _around_table(evaluation: Measured, labels: Mapping[Path, str]) -> Sequence[Section]:
    return report_sections(evaluation, labels=labels)[1:]


def records(plan: Plan, measured: Mapping[str, Measured]) -> RecordSection:
    """Returns the records of the table and its machine, of every evaluation and of every training."""
    spec, model = plan.spec, plan.track.model
    request: dict[str, Any] = {
        "table": spec.id,
        "track": plan.track_name,
        "protocol": spec.protocol,
        "rows": list(plan.rows),
    }
    request |= {"rewards": list(plan.rewards), "train_seeds": list(plan.seeds), "settings": plan.track.settings}
    weights = {model: models.find(model).hash}
    by_name = {"this table": record(request, weights, str(backbones.pick_device(None)))}
    by_name |= {f"evaluation on {name}": evaluation.record for name, evaluation in measured.items()}
    trained = {run.id: run for evaluation in measured.values() for run in evaluation.runs}
    trained |= {run.id: run for run in (runs.read(training.out) for training in plan.trainings)}
    return RecordSection(records=by_name | {name: {**run.config, "done": run.done} for name, run in trained.items()})


def safely(title: str, make: Callable[[], Sequence[Section]]) -> Sequence[Section]:
    """Returns the sections that ``make`` returns, or a section under ``title`` that says why there are none."""
    try:
        return make()
    except Exception as error:  # no failure of a plot may cost hours of computing
        reason = str(error).splitlines() or [""]
        return [TextSection(title=title, paragraphs=(f"Not shown: {type(error).__name__}: {reason[0]}",))]
