"""``bench shapes build``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchbench.cli.ui import log, resumable
from benchbench.shapes_build import build as shapes_build

app = typer.Typer(no_args_is_help=True, help="Build the shapes world.")


@app.callback()
def _shapes() -> None:
    """Keeps ``build`` a subcommand: typer would merge the only command of a group into the group."""


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="An empty folder, or the folder of an interrupted build.")],
    seed: int = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Stages at a time, one thread each.")] = 2,
    flow: Annotated[
        bool, typer.Option("--flow", help="Copy the installed world, and train only shapes-flow and its judge.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Run every stage at toy size; takes about a minute.")] = False,
) -> None:
    """Train the shapes models and their rewards again from seeds."""
    of_flow, of_all = ("shapes-flow and its judge", "three quarters of an hour"), ("the shapes world", "two hours")
    what, hours = of_flow if flow else of_all
    log(f"building {what} into {out} from seed {seed}; the full build takes up to {hours} on two cores")
    with resumable():
        shapes_build.build(out, seed=seed, jobs=jobs, quick=quick, log=log, flow_only=flow)
    log(f"use it with: BENCH_SHAPES_WEIGHTS={out}")
