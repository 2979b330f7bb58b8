"""``bench parity``. Imports the scoring of both sides, which loads pandas, only inside the function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchbench.choice import split_names
from benchbench.cli.ui import log, table
from benchbench.errors import MissingError, UsageError, all_at_once
from benchbench.hub.assets import LOCAL_FOLDER
from benchbench.parity import compare, environment, interpreter, pins, references
from benchbench.runtime.words import counted


def parity(
    rewards: Annotated[str, typer.Option(help="Names separated by commas. Default: all that have a reference.")] = "",
    images: Annotated[
        Path | None, typer.Option(help="Folder of image files to score. Default: made pictures of several sizes.")
    ] = None,
    count: Annotated[int, typer.Option(min=2, help="Number of made pictures.")] = 32,
    python: Annotated[
        str | None,
        typer.Option(
            help=f"The Python {pins.PYTHON} to make the environment with. Default: one on PATH, of uv or of pyenv."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Make the environment of the packages without asking.")] = False,
    out: Annotated[Path | None, typer.Option(help="A new file for the table, .csv, or .json with every score.")] = None,
) -> None:
    """Compare our rewards with the authors' packages. Both sides score the same pictures with your own weights.

    The packages are installed once, in an environment of their own in the cache folder (docs/parity.md).
    """
    from benchbench.parity import pictures, run

    chosen, _, files = all_at_once(
        lambda: references.choose(split_names(rewards)),
        lambda: compare.check_target(out),
        lambda: None if images is None else run.find_pictures(images, log),
    )
    for name in chosen.missing:
        log(f"{name}: no weights; bench fetch --rewards {name}")
    if not chosen.present:
        raise MissingError(
            "no reward can be compared",
            f"the weights of {', '.join(chosen.missing)} are neither in ${LOCAL_FOLDER} nor in the Hugging Face cache",
            f"bench fetch --rewards {','.join(chosen.missing)}",
        )
    interpreter_of_theirs = environment.find() or _make(python, yes)
    source = counted(count, "made picture") if files is None else f"{counted(len(files), 'picture')} of {images}"
    log(f"comparing {', '.join(chosen.present)} on {source}, in float32 on the CPU; table on standard output")
    rows = []
    for row in run.run(interpreter_of_theirs, chosen.present, files, count, log):
        rows.append(row)
        log(f"{row.reward}: {row.verdict}, largest difference {row.difference:.1e}")
    table(compare.COLUMNS, [row.cells() for row in rows])
    if out is not None:
        compare.write(out, rows, {**pins.about(), "prompts": pictures.prompts(len(rows[0].ours))})
        log(f"written to {out}")
    compare.require_equal(rows)


def _make(python: str | None, yes: bool) -> Path:
    """Returns the interpreter of a new environment. Raises UsageError where the user does not want one."""
    base = interpreter.find(python)
    log(
        f"the authors' packages are not here yet: they are installed with {base} and pip as you have set it up, into "
        f"{environment.folder()}: about {pins.GIGABYTES} GB, {pins.MINUTES} minutes or more, once"
    )
    try:
        wanted = yes or typer.confirm("install them?")
    except typer.Abort:  # nobody can answer
        wanted = False
    if not wanted:
        raise UsageError("nothing was installed", "the question was not answered with yes", "bench parity --yes")
    return environment.make(base, log)
