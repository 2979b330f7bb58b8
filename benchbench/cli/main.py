"""``bench``: the commands, and what becomes of an error."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated

import typer

from benchbench.cli import (
    check,
    compare,
    doctor,
    evaluation,
    fetch,
    listing,
    measure,
    pairs,
    report,
    reproduce,
    score,
    shapes,
    show,
    status,
    train,
    train_spm,
)
from benchbench.errors import BenchError, NoMemoryError, RunError
from benchbench.runtime import launch
from benchbench.runtime.interrupt import signals_as_ctrl_c
from benchbench.runtime.memory import REMEDY, memory_error_cause, out_of_memory
from benchbench.runtime.status import report_error
from benchbench.version import __version__

SEVERAL = ("--set", "--adapter", "--checkpoint")
"""Options that take several values after one flag."""

app = typer.Typer(
    name="bench",
    help="Trains and evaluates methods that align text-to-image diffusion models with preferences.",
    no_args_is_help=True,
    rich_markup_mode=None,  # boxes round the help would take as long as all of `bench --help` does without them
    context_settings={"max_content_width": 120},
    pretty_exceptions_enable=False,
)
app.command("train")(train.train)
app.command("train-spm")(train_spm.train_spm)
app.command("eval")(evaluation.evaluate)
app.command("compare")(compare.compare)
app.command("score")(score.score)
app.command("measure")(measure.measure)
app.command("reproduce")(reproduce.reproduce)
app.command("report")(report.report)
app.command("list")(listing.list_names)
app.command("show")(show.show)
app.command("status")(status.status)
app.command("check")(check.check)
app.command("doctor")(doctor.doctor)
app.command("fetch")(fetch.fetch)
app.add_typer(pairs.app, name="pairs")
app.add_typer(shapes.app, name="shapes")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"benchbench {__version__}")
        raise typer.Exit


@app.callback()
def _bench(
    context: typer.Context,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    if context.invoked_subcommand not in (None, "train"):
        launch.require_single_process(context.invoked_subcommand)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status; an error ends as three lines on standard error."""
    try:
        with nullcontext() if launch.is_multi_process() else signals_as_ctrl_c():
            app(args=spread(sys.argv[1:] if argv is None else argv), prog_name="bench")
    except SystemExit as end:  # how the parser ends, always: 0, 2 for a wrong option, 130 for Ctrl-C
        return end.code if isinstance(end.code, int) else 1
    except BenchError as error:
        return _fail(error)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _fail(RunError("the disk is full", str(error), "free some space and run the same command"))
        return _fail(_unexpected(error), everywhere=True)
    except Exception as error:
        return _fail(_unexpected(error), everywhere=True)
    return 0


def spread(argv: Sequence[str]) -> list[str]:
    """``--set a=1 b=2`` as ``--set a=1 --set b=2``, which is what the parser reads."""
    out: list[str] = []
    several = ""
    for word in argv:
        if word.startswith("-"):
            several = word if word in SEVERAL else ""
        elif several and out[-1] != several:
            out.append(several)
        out.append(word)
    return out


def _unexpected(error: Exception) -> RunError:
    if out_of_memory(error):
        return NoMemoryError("out of memory", memory_error_cause(error), f"{REMEDY}, or ask for fewer at a time")
    return RunError(
        "internal error (please report it)",
        f"{type(error).__name__}: {error}",
        "run it again with BENCH_DEBUG=1 for the traceback, which belongs into the report",
    )


def _fail(error: BenchError, everywhere: bool = False) -> int:
    """Prints the error and returns its exit code. Local rank 0 speaks for all, unless only this process may know it.

    A runner that started this process as a job is told, too.
    """
    report_error(error)
    if os.environ.get("BENCH_DEBUG"):
        traceback.print_exc()
    if everywhere or launch.is_local_main():
        print(f"error: {error}", file=sys.stderr)
    return error.code
