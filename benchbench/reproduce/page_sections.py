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
from benchbench.evaluate.report import sections
from benchbench.hub import models
from benchbench.report.sections import RecordSection, Section, TextSection
from benchbench.reproduce.plan import Plan
from benchbench.runtime.provenance import record
from benchbench.store import runs


def labels(cells: Plan) -> dict[Path, str]:
    """The row of each training: trainings of one method with other settings are other lines of a plot."""
    return {training.out: training.row for training in cells.trainings}


def evaluations(cells: Plan, measured: Mapping[str, Measured]) -> list[Section]:
    """Samples of the first evaluation, curves of the first prompt set's, and every warning."""
    rest: list[Section] = []
    first = next(iter(cells.blocks)).prompts
    for i, (name, found) in enumerate(measured.items()):
        for section in safely(f"Around {name}", partial(_around, found, labels(cells))):
            if section.kind == "text":
                rest.append(section.model_copy(update={"title": f"{section.title}: {name}"}))
            elif section.kind != "records" and (i == 0 or (section.kind != "grid" and name.startswith(first))):
                rest += [] if section in rest else [section]  # a row that every column shares has its curves once
    return rest


def _around(found: Measured, called: Mapping[Path, str]) -> Sequence[Section]:
    return sections(found, labels=called)[1:]


def records(cells: Plan, measured: Mapping[str, Measured]) -> RecordSection:
    """What was asked for and on what machine, what every evaluation and every training was."""
    spec, model = cells.spec, cells.track.model
    asked: dict[str, Any] = {
        "table": spec.id,
        "track": cells.track_name,
        "protocol": spec.protocol,
        "rows": list(cells.rows),
    }
    asked |= {"rewards": list(cells.rewards), "train_seeds": list(cells.seeds), "settings": cells.track.settings}
    weights = {model: models.content_hash(models.folder(model))}
    found = {"this table": record(asked, weights, str(backbones.pick_device(None)))}
    found |= {f"evaluation on {name}": one.record for name, one in measured.items()}
    trained = {run.id: run for one in measured.values() for run in one.runs}
    trained |= {run.id: run for run in (runs.read(training.out) for training in cells.trainings)}
    return RecordSection(records=found | {name: {**run.config, "done": run.done} for name, run in trained.items()})


def safely(what: str, make: Callable[[], Sequence[Section]]) -> Sequence[Section]:
    """Sections, or one that says why they are not there."""
    try:
        return make()
    except Exception as error:  # whatever it is, hours of computing are worth more than a plot
        why = str(error).splitlines() or [""]
        return [TextSection(title=what, paragraphs=(f"Not shown: {type(error).__name__}: {why[0]}",))]
