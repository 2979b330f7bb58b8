"""How commands print: tables on a terminal, tab-separated lines into a pipe, and the way back from Ctrl-C."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchbench.errors import BenchError, MissingError, UsageError


def log(line: str) -> None:
    """A line at once, even into a pipe."""
    print(line, flush=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for people on a terminal, for programs (tabs, a header line) elsewhere."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print("\t".join(str(cell).replace("\t", " ") for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(str(cell)) for cell in row))
    Console().print(shown)


@contextmanager
def resumable(*more: str) -> Iterator[None]:
    """Ctrl-C in here says how to go on: the same command, with ``more`` words."""
    try:
        yield
    except KeyboardInterrupt:
        again = [word for word in sys.argv[1:] if word not in more]
        several = os.environ.get("WORLD_SIZE", "1") != "1"
        start = "accelerate launch (as before) -m benchbench" if several else "bench"
        if os.environ.get("RANK", "0") == "0":
            print(f"\ninterrupted; go on with: {start} {shlex.join([*again, *more])}", file=sys.stderr, flush=True)
        raise


def all_at_once(*checks: Callable[[], Any]) -> list[Any]:
    """Returns what each check returns; raises what they raised as one error, so that nobody mends word by word."""
    errors: list[BenchError] = []
    results = []
    for check in checks:
        try:
            results.append(check())
        except (UsageError, MissingError) as error:
            if str(error) not in map(str, errors):
                errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        kind = MissingError if all(isinstance(error, MissingError) for error in errors) else UsageError
        raise kind(
            "; ".join(error.problem for error in errors),
            "; ".join(error.cause for error in errors),
            "; ".join(dict.fromkeys(error.remedy for error in errors)),
        )
    return results
