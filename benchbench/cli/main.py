"""``bench``: runs a command and turns an error into three lines and an exit status."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated

import typer

from benchbench.cli.commands import LazyGroup, register
from benchbench.errors import BenchError, NoMemoryError, RunError, UsageError
from benchbench.runtime import launch
from benchbench.runtime.interrupt import signals_as_ctrl_c
from benchbench.runtime.memory import REMEDY, memory_error_cause, out_of_memory
from benchbench.runtime.status import report_error
from benchbench.version import __version__

MULTIPLE = ("--set", "--adapter", "--checkpoint")
"""Options that take several values after one flag."""
WRONG_PATH = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP)
"""The errors of a path that is too long, a file where a folder is needed, or a folder where a file is."""

app = typer.Typer(
    name="bench",
    cls=LazyGroup,
    help="Train and evaluate methods that align text-to-image diffusion models with preferences.",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich's boxes would double the time of `bench --help`
    context_settings={"max_content_width": 120},
    pretty_exceptions_enable=False,
)
register(app)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"benchbench {__version__}")
        raise typer.Exit


@app.callback()
def _bench(
    context: typer.Context,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand not in (None, "train"):
        launch.require_single_process(context.invoked_subcommand)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status; prints an error as three lines on standard error."""
    try:
        with nullcontext() if launch.is_multi_process() else signals_as_ctrl_c():
            app(args=spread(sys.argv[1:] if argv is None else argv), prog_name="bench")
    except SystemExit as stop:  # the parser always raises it: 0, 2 for a wrong option, 130 for Ctrl-C
        return stop.code if isinstance(stop.code, int) else 1
    except BenchError as error:
        return _fail(error)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _fail(RunError("the disk is full", str(error), "free some space and run the same command"))
        if error.errno in WRONG_PATH:
            cause = f"{error.strerror}: {error.filename!s:.200}"
            return _fail(UsageError("a path cannot be used", cause, "name another file or folder"))
        return _fail(_unexpected(error), every_rank=True)
    except Exception as error:
        return _fail(_unexpected(error), every_rank=True)
    return 0


def spread(argv: Sequence[str]) -> list[str]:
    """Returns ``--set a=1 b=2`` as ``--set a=1 --set b=2``, which the parser understands."""
    words: list[str] = []
    option = ""
    for word in argv:
        if word.startswith("-"):
            option = word if word in MULTIPLE else ""
        elif option and words[-1] != option:
            words.append(option)
        words.append(word)
    return words


def _unexpected(error: Exception) -> RunError:
    if out_of_memory(error):
        return NoMemoryError("out of memory", memory_error_cause(error), f"{REMEDY}, or ask for fewer images at a time")
    return RunError(
        "internal error (please report it)",
        f"{type(error).__name__}: {error}",
        "run it again with BENCH_DEBUG=1 and put the traceback into the report",
    )


def _fail(error: BenchError, every_rank: bool = False) -> int:
    """Prints an error and returns its exit status; a parent process that started this one as a job is told too.

    In a multi-process run, local rank 0 prints an error that all ranks share; with ``every_rank`` each prints its own.
    """
    report_error(error)
    if os.environ.get("BENCH_DEBUG"):
        traceback.print_exc()
    if every_rank or launch.is_local_main():
        print(f"error: {error}", file=sys.stderr)
    return error.code
