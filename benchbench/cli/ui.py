"""Commands print through this file: lines, tables, the command that continues after Ctrl-C."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from benchbench.runtime.output import saving, write_line
from benchbench.runtime.printable import printable


def log(line: str) -> None:
    """Prints one or more lines without buffering, also into a pipe. Control characters are escaped."""
    write_line(line)


def log_to_stderr(line: str) -> None:
    """Prints one or more lines to standard error, where standard output is for another program."""
    write_line(line, sys.stderr)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints aligned columns on a terminal, and tab-separated lines with a header into a pipe."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print("\t".join(printable(str(cell).replace("\t", " ")) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        grid.add_column(Text(printable(column)), overflow="fold")
    for row in rows:
        grid.add_row(*(Text(printable(cell, keep="\n")) for cell in row))
    Console().print(grid)


class Interruption:
    """Remembers that the user was told how to go on after Ctrl-C."""

    told = False


@contextmanager
def resumable(*extra_words: str) -> Iterator[None]:
    """On Ctrl-C, prints the command that continues: the same one, with ``extra_words`` at its end."""
    try:
        with saving():
            yield
    except KeyboardInterrupt:
        words = [word for word in sys.argv[1:] if word not in extra_words]
        several = os.environ.get("WORLD_SIZE", "1") != "1"
        start = "accelerate launch (as before) -m benchbench" if several else "bench"
        if os.environ.get("RANK", "0") == "0":
            command = f"{start} {shlex.join([*words, *extra_words])}"
            with suppress(OSError):  # a reader who is gone must not hide the interruption
                write_line(f"\ninterrupted; go on with: {command}", sys.stderr)
        Interruption.told = True
        raise
