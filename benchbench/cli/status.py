"""``bench status``. Imports what a table needs, which loads torch, only inside functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchbench.cli.options import Store, integers
from benchbench.cli.ui import log, table
from benchbench.errors import UsageError
from benchbench.reproduce import sweep
from benchbench.reproduce.plan import Plan, make_plan
from benchbench.reproduce.spec import load, track_of
from benchbench.reproduce.sweep_file import is_sweep
from benchbench.runtime.progress import duration
from benchbench.store import existing_root
from benchbench.store.run_index import shown_runs
from benchbench.train.cards import find

if TYPE_CHECKING:
    from benchbench.reproduce.table_status import JobStatus


def status(
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TABLE]...",
            help="Tables, as tailorpo:2, or files: sweep.yaml, NAME.tune.yaml.",
        ),
    ] = None,
    track: Annotated[str, typer.Option(help="The tables' base model.")] = "shapes",
    train_seeds: Annotated[str, typer.Option(help="The tables' training seeds, separated by commas.")] = "0,1,2",
    card: Annotated[
        str | None, typer.Option(help="Estimate what is left of the tables on this GPU, as a100-40 or h100.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show the tables' jobs until all are done.")] = False,
    store: Store = None,
) -> None:
    """Show what a store holds, or what a table still needs. Without a table: runs, images, scores and reports.

    Of a table, each job is done, running, failed, stopped (killed; the same command goes on) or left.
    """
    folder = existing_root(store)
    log(f"the store {folder}" if folder.is_dir() else f"there is no store {folder} yet")
    if tables:
        plans = {name: _plan(name, track, integers(train_seeds, "--train-seeds"), folder) for name in tables}
        _show_tables(plans, folder, watch)
        if card:
            _show_costs(plans, card)
        return
    if watch:
        raise UsageError("there is nothing to watch", "--watch shows the jobs of tables", "name one, as tailorpo:2")
    rows = [[run.id, run.state, f"{run.seen} of {run.planned}"] for run in shown_runs(folder)]
    if rows:
        table(["run", "state", "samples"], rows)
    images = sum(1 for _ in folder.glob("images/*/*.webp"))
    generations = sum(1 for _ in folder.glob("images/*/record.json"))
    scores = sum(1 for _ in folder.glob("scores/**/*.parquet"))
    log(f"runs: {len(rows)}; images: {images}, generations: {generations}; score files: {scores}")
    for page in sorted(folder.glob("reports/**/*.html")):
        log(f"report {page}")


def _plan(name: str, track: str, seeds: list[int], store: Path) -> Plan:
    """Returns the plan of a table; the file of a sweep or of a search names its own model and seeds."""
    if not is_sweep(name):
        spec = load(name)
        return make_plan(spec, track, track_of(spec, track), store, seeds=seeds)
    from benchbench.tune import plan, search

    if search.is_search(name):
        return plan.make_plan(search.read(Path(name)), store)
    found = sweep.load(Path(name))
    return make_plan(found.spec, found.track.model, found.track, store, seeds=found.seeds)


def _show_tables(plans: dict[str, Plan], store: Path, watch: bool) -> None:
    from benchbench.cli.watch import watch_jobs
    from benchbench.reproduce.table_status import again, job_status

    def look() -> list[JobStatus]:
        for name, plan in plans.items():
            plans[name] = again(plan)
        return [job for plan in plans.values() for job in job_status(plan, store)]

    if watch:  # its counts stay true, which those of the table below do not
        watch_jobs(look)
        return
    rows = [_table_row(name, plan) for name, plan in plans.items()]
    table(["table", "trainings", "done", "left", "images", "about, on one core"], rows)
    table(["job", "state", "where, how far or why"], [[job.name, job.state, job.about] for job in look()])


def _show_costs(plans: dict[str, Plan], card: str) -> None:
    from benchbench.reproduce.card_estimate import card_lines

    for name, plan in plans.items():
        for line in card_lines(plan, find(card)):
            log(f"{name}: {line}")


def _table_row(name: str, plan: Plan) -> list[object]:
    from benchbench.reproduce import training_cost

    done = sum(training.done for training in plan.trainings)
    images = sum(measurement.images for measurement in training_cost.distinct_images(plan.measurements))
    seconds = sum(training_cost.training_seconds(training.config) for training in plan.trainings if not training.done)
    time = f"{duration(seconds)} of training" if seconds else "no training left" if done else "no figures"
    return [name, len(plan.trainings), done, len(plan.trainings) - done, images, time]
