"""``bench shapes build``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchbench.cli.ui import log, resumable

app = typer.Typer(no_args_is_help=True, help="The embedded world of coloured shapes.")


@app.callback()
def _shapes() -> None:
    """Keeps ``build`` a command of its own while it is the only one."""


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="An empty folder, or one that an interrupted build left.")],
    seed: int = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Stages at a time, one thread each.")] = 2,
    quick: Annotated[bool, typer.Option("--quick", help="Works, but has learned nothing; about a minute.")] = False,
) -> None:
    """Train the shapes model and its rewards again from seeds."""
    from benchbench.shapes_build.build import build

    log(f"building the shapes world into {out} from seed {seed}; the full build takes up to an hour on two cores")
    with resumable():
        build(out, seed=seed, jobs=jobs, quick=quick, log=log)
    log(f"use it with: BENCH_SHAPES_WEIGHTS={out}")
