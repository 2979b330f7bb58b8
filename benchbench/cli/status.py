"""``bench status``. Imports the estimate of a table's cost, which loads torch, only inside the function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from benchbench.cli.options import Store, integers
from benchbench.cli.ui import log, table
from benchbench.reproduce.plan import make_plan
from benchbench.reproduce.spec import load, track_of
from benchbench.runtime.progress import duration
from benchbench.store import root, runs
from benchbench.store.metrics import last_metrics


def status(
    tables: Annotated[list[str] | None, typer.Argument(metavar="[TABLE]...", help="Tables, as tailorpo:2.")] = None,
    track: Annotated[str, typer.Option(help="The tables' base model.")] = "shapes",
    train_seeds: Annotated[str, typer.Option(help="The tables' training seeds, separated by commas.")] = "0,1,2",
    store: Store = None,
) -> None:
    """Show what a store holds, or what a table still needs. Without a table: runs, images, scores and reports."""
    folder = root(store)
    log(f"the store {folder}")
    if tables:
        seeds = integers(train_seeds, "--train-seeds")
        rows = [_table_row(name, track, seeds, folder) for name in tables]
        table(["table", "trainings", "done", "left", "images", "about, on one core"], rows)
        return
    rows = [[run.id, run.state, _progress(run.path, run.config)] for run in runs.all_runs(folder)]
    if rows:
        table(["run", "state", "samples"], rows)
    images = sum(1 for _ in folder.glob("images/*/*.webp"))
    generations = sum(1 for _ in folder.glob("images/*/record.json"))
    scores = sum(1 for _ in folder.glob("scores/**/*.parquet"))
    log(f"runs: {len(rows)}; images: {images}, generations: {generations}; score files: {scores}")
    for page in sorted(folder.glob("reports/**/*.html")):
        log(f"report {page}")


def _progress(path: Path, config: dict[str, Any]) -> str:
    """Returns ``96 of 384``: the samples in the last complete line of metrics, and those of the whole run."""
    done = last_metrics(path).get("samples", 0)
    return f"{done} of {config.get('config', {}).get('samples', '?')}"


def _table_row(name: str, track: str, seeds: list[int], store: Path) -> list[object]:
    from benchbench.reproduce import training_cost

    spec = load(name)
    plan = make_plan(spec, track, track_of(spec, track), store, seeds=seeds)
    done = sum(training.done for training in plan.trainings)
    images = sum(measurement.images for measurement in training_cost.distinct_images(plan.measurements))
    seconds = sum(training_cost.training_seconds(training.config) for training in plan.trainings if not training.done)
    time = f"{duration(seconds)} of training" if seconds else "no training left" if done else "no figures"
    return [name, len(plan.trainings), done, len(plan.trainings) - done, images, time]
