"""``bench reproduce``: plan, train, measure, and set the numbers beside the paper's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchbench.errors import RunError
from benchbench.hub import models
from benchbench.reproduce import estimate, report
from benchbench.reproduce import jobs as tasks
from benchbench.reproduce.plan import Plan, missing, plan
from benchbench.reproduce.spec import load, track_of
from benchbench.runtime import jobs as pool
from benchbench.runtime.files import Say


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
    say: Say = print,
) -> Path | None:
    """Makes what is missing, writes the report and returns its folder; a dry run prints the plan and returns None.

    Killed anywhere and run again, it goes on from what is there. A part that fails alone is left out of the report,
    which says so. ``dtype`` is the precision of the measurements; a training's is one of its own settings. Errors:
    those of training and of measuring; RunError, once the report is there, where a part failed.
    """
    spec = load(table)
    planned = plan(
        spec,
        track,
        track_of(spec, track),
        store,
        rows=rows,
        seeds=train_seeds,
        quick=quick,
        checkpoints=checkpoints,
    )
    cells = replace(planned, dtype=dtype)
    if not dry_run:
        models.folder(cells.track.model)  # raises the error with what to do
    jobs = 1 if spec.protocol == "cost" else jobs or _jobs(cells)  # side by side they would slow each other down
    size = "QUICK (one seed, the fewest columns): " if quick else ""
    say(f"{spec.title} on the {track} track; {size}results go to {store}")
    for line in estimate.describe(cells, jobs):
        say(line)
    for line in cells.skipped:
        say(f"not in the table: {line}")
    for line in missing(cells):
        say(f"missing: {line}")
    if dry_run:
        say(estimate.work(cells))
        for training in cells.trainings:
            say(f"{'done' if training.done else 'left'}: {training.out.name}")
        return None
    lost = pool.run(tasks.trainings(cells, store), jobs, "training")
    cells = tasks.without(cells, lost, store)
    unmeasured = pool.run(tasks.measurements(cells, store), jobs, "measuring")
    out = report.report(tasks.without(cells, unmeasured, store), store, say)
    if failed := [error for _, error in (*lost, *unmeasured)]:
        raise RunError(
            f"the table is without {len(failed)} of its parts",
            "; ".join(f"{error.problem}: {error.cause}" for error in failed),
            f"the others are in {out}; {failed[0].remedy}",
        )
    return out


def _jobs(cells: Plan) -> int:
    """One process a core on a CPU; one on a GPU, which a single training fills."""
    import torch

    return 1 if torch.cuda.is_available() else min(os.cpu_count() or 1, max(1, len(cells.measurements)))
