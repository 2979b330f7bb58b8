"""What stands around a paper's table on its page: samples, training curves, warnings and the records.

None of it may cost the table: a part that cannot be drawn says so in its place.
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
    """Returns the row of each training: trainings of one method with other settings are other lines of a plot."""
    return {training.out: training.row for training in plan.trainings}


def evaluations(plan: Plan, measured: Mapping[str, Measured]) -> list[Section]:
    """Returns the first evaluation's samples, the first prompt set's curves, and every warning."""
    kept: list[Section] = []
    first = next(iter(plan.blocks)).prompts
    for i, (name, found) in enumerate(measured.items()):
        for section in safely(f"Around {name}", partial(_around, found, row_labels(plan))):
            if section.kind == "text":
                kept.append(section.model_copy(update={"title": f"{section.title}: {name}"}))
            elif section.kind != "records" and (i == 0 or (section.kind != "grid" and name.startswith(first))):
                kept += [] if section in kept else [section]  # a row that every column shares has its curves once
    return kept


def _around(found: Measured, called: Mapping[Path, str]) -> Sequence[Section]:
    return report_sections(found, labels=called)[1:]


def records(plan: Plan, measured: Mapping[str, Measured]) -> RecordSection:
    """Returns the records of this table, of its machine, and of every evaluation and training."""
    spec, model = plan.spec, plan.track.model
    request: dict[str, Any] = {
        "table": spec.id,
        "track": plan.track_name,
        "protocol": spec.protocol,
        "rows": list(plan.rows),
    }
    request |= {"rewards": list(plan.rewards), "train_seeds": list(plan.seeds), "settings": plan.track.settings}
    weights = {model: models.content_hash(models.pipeline_folder(model))}
    by_name = {"this table": record(request, weights, str(backbones.pick_device(None)))}
    by_name |= {f"evaluation on {name}": one.record for name, one in measured.items()}
    trained = {run.id: run for one in measured.values() for run in one.runs}
    trained |= {run.id: run for run in (runs.read(training.out) for training in plan.trainings)}
    return RecordSection(records=by_name | {name: {**run.config, "done": run.done} for name, run in trained.items()})


def safely(what: str, make: Callable[[], Sequence[Section]]) -> Sequence[Section]:
    """Returns sections, or one that says why they are not there."""
    try:
        return make()
    except Exception as error:  # whatever it is, hours of computing are worth more than a plot
        why = str(error).splitlines() or [""]
        return [TextSection(title=what, paragraphs=(f"Not shown: {type(error).__name__}: {why[0]}",))]
