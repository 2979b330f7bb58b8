"""``bench``: runs a command and turns an error into three lines and an exit status."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import Annotated

import typer

from benchbench.cli.commands import LazyGroup, register
from benchbench.cli.ui import Interruption
from benchbench.errors import BenchError, RunError
from benchbench.runtime import launch
from benchbench.runtime.interrupt import signals_as_ctrl_c
from benchbench.runtime.output import escape_unknown_signs, reader_is_gone
from benchbench.runtime.printable import printable
from benchbench.runtime.status import report_done, report_error, report_start
from benchbench.runtime.unexpected import as_bench_error
from benchbench.runtime.waiting import wait_briefly
from benchbench.version import __version__

MULTIPLE = ("--set", "--adapter", "--checkpoint")
"""Options that take several values after one flag."""

INTERRUPTED = 130
SHOWING = ("list", "show", "status", "doctor")
"""Commands that make nothing."""

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
    escape_unknown_signs()
    wait_briefly()
    report_start()
    code = _run(sys.argv[1:] if argv is None else argv)
    if code == 0:
        report_done()
    return code


def _run(argv: Sequence[str]) -> int:
    """Runs a command and returns its exit status."""
    try:
        with nullcontext() if launch.is_multi_process() else signals_as_ctrl_c():
            app(args=spread(argv), prog_name="bench")
    except SystemExit as stop:
        if not _is_the_parsers(stop):
            return _fail(_ended(stop), every_rank=True)
        if reader_is_gone(stop.__context__) and is_listing(argv):
            return 0  # `bench list prompts | head -1` has shown what was asked for
        if stop.code == INTERRUPTED and not Interruption.told and launch.is_local_main():
            with suppress(OSError):
                print("interrupted", file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else 0  # 0, 2 for a wrong option, 130 for Ctrl-C
    except KeyboardInterrupt:  # in the first instant, while the parser of the command line is built
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return _fail(as_bench_error(error), every_rank=not isinstance(error, BenchError))
    return 0


def is_listing(argv: Sequence[str]) -> bool:
    """Returns True for a command that only shows what there is: nothing is lost where its reader has seen enough."""
    return next((word for word in argv if not word.startswith("-")), "") in SHOWING


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


def _is_the_parsers(stop: SystemExit) -> bool:
    """Returns True where the parser of the command line ended the process: it has said why."""
    *_, (frame, _) = traceback.walk_tb(stop.__traceback__)
    return str(frame.f_globals.get("__name__")).partition(".")[0] in ("typer", "click")


def _ended(stop: SystemExit) -> RunError:
    """Returns the error for code that ended the process from inside a command; only code of others does that."""
    *_, (frame, line) = traceback.walk_tb(stop.__traceback__)
    return RunError(
        f"the command was ended from inside, with {stop.code!r}",
        f"{frame.f_code.co_filename}:{line} called sys.exit",
        "repair or uninstall the plug-in that it belongs to; `bench doctor` lists the broken ones",
    )


def _fail(error: BenchError, every_rank: bool = False) -> int:
    """Prints an error and returns its exit status; a parent process that started this one as a job is told too.

    In a multi-process run, local rank 0 prints an error that all ranks share; with ``every_rank`` each prints its own.
    """
    report_error(error)
    if os.environ.get("BENCH_DEBUG"):
        traceback.print_exc()
    if every_rank or launch.is_local_main():
        lines = type(error)(*(printable(line) for line in (error.problem, error.cause, error.remedy)))
        print(f"error: {lines}", file=sys.stderr)
    return error.code
