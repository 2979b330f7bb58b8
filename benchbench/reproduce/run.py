"""``bench reproduce``: plan, train, measure, and set the numbers beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchbench.errors import RunError
from benchbench.hub import models
from benchbench.reproduce import estimate, report
from benchbench.reproduce.plan import Plan, make_plan, missing
from benchbench.reproduce.plan_jobs import measurement_jobs, training_jobs, without_failed
from benchbench.reproduce.spec import load, track_of
from benchbench.runtime.backends.base import Backend
from benchbench.runtime.cores import cores
from benchbench.runtime.files import Log
from benchbench.runtime.jobs import LocalBackend, run


def reproduce(
    table: str,
    *,
    store: Path,
    track: str = "shapes",
    quick: bool = False,
    train_seeds: Sequence[int] = (0,),
    rows: Sequence[str] | None = None,
    checkpoints: Mapping[str, str] | None = None,
    dry_run: bool = False,
    jobs: int | None = None,
    dtype: str = "auto",
    log: Log = print,
) -> Path | None:
    """Makes what is missing, writes the report and returns its folder; a dry run prints the plan and returns None.

    Killed anywhere and run again, it goes on from what is there. A part that fails alone is left out of the report,
    which says so. ``dtype`` is the precision of the measurements; a training's is one of its own settings. Errors:
    those of training and of measuring; RunError, once the report is there, where a part failed.
    """
    spec = load(table)
    plan = make_plan(
        spec,
        track,
        track_of(spec, track),
        store,
        rows=rows,
        seeds=train_seeds,
        quick=quick,
        checkpoints=checkpoints,
    )
    plan = replace(plan, dtype=dtype)
    if not dry_run:
        models.pipeline_folder(plan.track.model)  # raises the error with what to do
    slots = 1 if spec.protocol == "cost" else jobs or _slots(plan)  # side by side they would slow each other down
    size = "QUICK (one seed, the fewest columns): " if quick else ""
    log(f"{spec.title} on the {track} track; {size}results go to {store}")
    for line in estimate.describe(plan, slots):
        log(line)
    for line in plan.skipped:
        log(f"not in the table: {line}")
    for line in missing(plan):
        log(f"missing: {line}")
    if dry_run:
        log(estimate.work_line(plan))
        for training in plan.trainings:
            log(f"{'done' if training.done else 'left'}: {training.out.name}")
        return None
    return _run(plan, store, LocalBackend(slots), log)


def _run(plan: Plan, store: Path, backend: Backend, log: Log) -> Path:
    """Trains, measures, writes the report and returns its folder. Errors: see ``reproduce``."""
    failures = run(training_jobs(plan, store), backend, "training")
    plan = without_failed(plan, failures, store)
    unmeasured = run(measurement_jobs(plan, store), backend, "measuring")
    out = report.report(without_failed(plan, unmeasured, store), store, log)
    if errors := [failure.error for failure in (*failures, *unmeasured)]:
        raise RunError(
            f"the table is without {len(errors)} of its parts",
            "; ".join(f"{error.problem}: {error.cause}" for error in errors),
            f"the others are in {out}; {errors[0].remedy}",
        )
    return out


def _slots(plan: Plan) -> int:
    """Returns one slot a core on a CPU, and one on a GPU, which a single training fills."""
    import torch

    return 1 if torch.cuda.is_available() else min(cores(), max(1, len(plan.measurements)))
