"""``bench status``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from benchbench.cli.options import Store, integers
from benchbench.cli.ui import log, table


def status(
    tables: Annotated[list[str] | None, typer.Argument(metavar="[TABLE]...", help="As tailorpo:2.")] = None,
    track: Annotated[str, typer.Option(help="Of the tables.")] = "shapes",
    train_seeds: Annotated[str, typer.Option(help="Of the tables.")] = "0,1,2",
    store: Store = None,
) -> None:
    """What a store holds: runs with how far they are, images, scores and reports; or what is left of tables."""
    from benchbench.store import root, runs

    folder = root(store)
    log(f"the store {folder}")
    if tables:
        seeds = integers(train_seeds, "--train-seeds")
        rows = [_table(name, track, seeds, folder) for name in tables]
        table(["table", "trainings", "done", "left", "images", "about, on one core"], rows)
        return
    rows = [[run.id, run.state, _progress(run.path, run.config)] for run in runs.all_runs(folder)]
    if rows:
        table(["run", "state", "samples"], rows)
    images = sum(1 for _ in folder.glob("images/*/*.webp"))
    generations = sum(1 for _ in folder.glob("images/*/record.json"))
    scores = sum(1 for _ in folder.glob("scores/**/*.parquet"))
    log(f"{len(rows)} runs; {images} images of {generations} generations; {scores} score files")
    for page in sorted(folder.glob("reports/**/*.html")):
        log(f"report {page}")


def _progress(path: Path, config: dict[str, Any]) -> str:
    """``96 of 384``, by the last row of metrics that was written whole."""
    from benchbench.store.metrics import last_metrics

    done = last_metrics(path).get("samples", 0)
    return f"{done} of {config.get('config', {}).get('samples', '?')}"


def _table(name: str, track: str, seeds: list[int], store: Path) -> list[object]:
    from benchbench.reproduce import estimate
    from benchbench.reproduce.plan import make_plan
    from benchbench.reproduce.spec import load, track_of
    from benchbench.runtime.progress import duration

    spec = load(name)
    plan = make_plan(spec, track, track_of(spec, track), store, seeds=seeds)
    done = sum(training.done for training in plan.trainings)
    images = sum(one.images for one in estimate.distinct_images(plan.measurements))
    time = sum(estimate.training_seconds(t.config) for t in plan.trainings if not t.done)
    left = f"{duration(time)} of training" if time else "no training left" if done else "no figures"
    return [name, len(plan.trainings), done, len(plan.trainings) - done, images, left]
