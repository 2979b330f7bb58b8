"""``bench reproduce`` and ``bench sweep``: plans, trains, measures and writes the report beside the paper's numbers.

Imports what loads torch and pandas only inside functions: a wrong name is told before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchbench.errors import BenchError, RunError
from benchbench.hub import models
from benchbench.presets import UNSEARCHED
from benchbench.reproduce import sweep as sweep_files
from benchbench.reproduce.plan import Plan, make_plan
from benchbench.reproduce.rates import rates_sentence
from benchbench.reproduce.spec import Spec, Track, load, track_of
from benchbench.reproduce.sweep_file import is_sweep
from benchbench.runtime.backends.base import Backend
from benchbench.runtime.backends.choice import BackendChoice, alone
from benchbench.runtime.files import Log
from benchbench.runtime.hashing import one_hash_cache
from benchbench.runtime.jobs import run
from benchbench.train import cards

DEFAULT_SEEDS = (0, 1, 2)


def reproduce(
    table: str,
    *,
    store: Path,
    track: str = "shapes",
    quick: bool = False,
    train_seeds: Sequence[int] | None = None,
    rows: Sequence[str] | None = None,
    rewards: Sequence[str] | None = None,
    checkpoints: Mapping[str, str] | None = None,
    dry_run: bool = False,
    card: str | None = None,
    commands: Log | None = None,
    where: BackendChoice | None = None,
    dtype: str = "auto",
    samples: int | None = None,
    overrides: Sequence[str] = (),
    log: Log = print,
) -> Path | None:
    """Makes what is missing, writes the report and returns its folder; a dry run prints the plan and returns None.

    ``table`` is a published one or a sweep's file, which names its own model and seeds. ``train_seeds`` are by default
    those of the file, or 0, 1 and 2. ``commands`` gets the command of each job that is left, and nothing is made. A
    dry run also tells hours, memory and disk on ``card``, by default this machine's GPU.
    A run that was killed continues when it is started again. A part that fails is left out of the report, which says
    so, and RunError is raised once the report is written. ``dtype`` is the precision of the measurements; a training's
    precision is one of its settings. ``where`` says where the jobs run: on this machine by
    default. ``samples`` and ``overrides`` make the trainings smaller. Errors: those of training and of measuring.
    """
    options: dict[str, Any] = {"quick": quick, "rows": rows, "rewards": rewards, "checkpoints": checkpoints}
    options |= {"samples": samples, "overrides": overrides, "where": where, "dtype": dtype, "log": log}
    options |= {"dry_run": dry_run, "card": card, "commands": commands}
    if is_sweep(table):
        return sweep(Path(table).expanduser(), store=store, train_seeds=train_seeds, **options)
    spec = load(table)
    seeds = DEFAULT_SEEDS if train_seeds is None else train_seeds
    return make_table(spec, track, track_of(spec, track), store, seeds=seeds, **options)


def sweep(file: Path, *, store: Path, train_seeds: Sequence[int] | None = None, **options: Any) -> Path | None:
    """Makes the table of a sweep's file, with the options and the errors of ``reproduce``."""
    found = sweep_files.load(file)
    seeds = found.seeds if train_seeds is None else train_seeds
    return make_table(found.spec, found.track.model, found.track, store, seeds=seeds, **options)


def make_table(
    spec: Spec,
    track_name: str,
    track: Track,
    store: Path,
    *,
    dry_run: bool = False,
    card: str | None = None,
    commands: Log | None = None,
    where: BackendChoice | None = None,
    dtype: str = "auto",
    log: Log = print,
    **options: Any,
) -> Path | None:
    """Makes what is missing of a table, writes the report and returns its folder; None where nothing is to be made.

    ``options`` are those of ``make_plan``. Errors: those of ``reproduce``.
    """
    cards.needs_dry_run(card, dry_run)
    store = store.absolute() if commands else store
    where = where or BackendChoice()
    where.check()
    plan = replace(make_plan(spec, track_name, track, store, **options), dtype=dtype)
    dry_run = dry_run or commands is not None
    if not dry_run:
        models.pipeline_folder(plan.track.model)  # raises where the model is missing

    from benchbench.reproduce import card_estimate, estimate, job_commands, missing

    useful = max(len(plan.trainings), len(plan.measurements))
    backend = alone(where) if spec.protocol == "cost" else None if dry_run else where.backend(useful)
    slots = backend.slots if backend else where.slots(useful)
    whole = "file's" if spec.file else "paper's"
    size = f"QUICK (smaller than the {whole}, never a result): " if plan.quick else ""
    log(f"{spec.title} on the {track_name} track; {size}results go to {store}")
    with one_hash_cache():
        described = estimate.describe(plan, slots)
    for line in (*described, *filter(None, [estimate.smaller_line(plan)])):
        log(line)
    if UNSEARCHED in (rates := rates_sentence(plan)):
        log(rates)
    for line in plan.skipped:
        log(f"not in the table: {line}")
    for line in missing.missing(plan):
        log(f"missing: {line}")
    if commands is not None:
        for line in job_commands.command_lines(plan, store):
            commands(line)
        return None
    if dry_run or backend is None:
        log(estimate.work_line(plan))
        for training in plan.trainings:
            log(f"{'done' if training.done else 'left'}: {training.out.name}")
        on = cards.find(card) if card else cards.here()
        for line in card_estimate.card_lines(plan, on) if on else ():
            log(line)
        log("the command of each job: --print-commands")
        return None
    return _run(plan, store, backend, log)


def complete(plan: Plan, store: Path, backend: Backend) -> tuple[Plan, list[BenchError]]:
    """Trains and measures what the store lacks; returns the plan without what failed, and the errors of that."""
    from benchbench.reproduce import plan_jobs, stopping

    with one_hash_cache():
        first = plan_jobs.jobs_before_measuring(plan, store)
    failures = run(first, backend, "training")
    plan = plan_jobs.without_failed(plan, failures, store)
    with one_hash_cache():
        to_measure = plan_jobs.open_measurement_jobs(plan, store)
    unmeasured = run(to_measure, backend, "measuring")
    plan = plan_jobs.without_failed(plan, unmeasured, store)
    if plan.spec.stop:
        with one_hash_cache():
            plan = stopping.after_validation(plan, store, lambda line: None)
            of_chosen = plan_jobs.open_measurement_jobs(plan, store)
        again = run(of_chosen, backend, "measuring what was chosen")
        plan, unmeasured = plan_jobs.without_failed(plan, again, store), [*unmeasured, *again]
    return plan, [failure.error for failure in (*failures, *unmeasured)]


def _run(plan: Plan, store: Path, backend: Backend, log: Log) -> Path:
    """Trains, measures, writes the report and returns its folder. Errors: those of ``reproduce``."""
    from benchbench.reproduce import report

    plan, errors = complete(plan, store, backend)
    with one_hash_cache():
        out = report.report(plan, store, log)
    if errors:
        raise RunError(
            f"{len(errors)} parts of the table failed",
            "; ".join(f"{error.problem}: {error.cause}" for error in errors),
            f"the rest is in {out}; {errors[0].remedy}",
        )
    return out
