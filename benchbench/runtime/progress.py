"""Shows progress on standard error: a bar with the time left on a terminal, else a plain line every ten seconds.

A job also reports its progress to its runner (runtime/status.py). Within ``hidden`` nothing is shown.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from benchbench.runtime import status
from benchbench.runtime.output import write_line
from benchbench.runtime.printable import printable

SECONDS_BETWEEN_LINES = 10.0
_hidden: ContextVar[bool] = ContextVar("hidden", default=False)


class Progress(Protocol):
    """A progress display."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """Adds ``n`` finished steps; ``note``, such as the reward so far, is shown beside them."""


@contextmanager
def hidden() -> Iterator[None]:
    """Shows no progress within the block, as in a call from Python that asks for none."""
    token = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(token)


@contextmanager
def progress(total: int, title: str, unit: str = "", done: int = 0, silent: bool = False) -> Iterator[Progress]:
    """Yields the display of ``total`` steps; ``done`` of them were finished before and do not count for speed."""
    if silent or _hidden.get():  # another process shows the progress, or nobody wants to see it
        yield _Silent()
    elif sys.stderr.isatty():
        with _bar(total, title, unit, done) as bar:
            yield _Reported(bar, total, done)
    else:
        lines = LineProgress(total, title, unit, done)
        yield _Reported(lines, total, done)
        lines.end()


class _Silent:
    def advance(self, n: int = 1, note: str = "") -> None:
        pass


class _Reported:
    """Shows progress, and reports it to the runner in steps of at least 1 %."""

    def __init__(self, display: Progress, total: int, done: int) -> None:
        self._display, self._total, self._finished, self._reported = display, max(total, 1), done, 0.0

    def advance(self, n: int = 1, note: str = "") -> None:
        self._finished += n
        fraction = min(1.0, self._finished / self._total)
        if fraction - self._reported >= 0.01 or fraction == 1:
            self._reported = fraction
            status.report_progress(fraction, note)
        self._display.advance(n, note)


@contextmanager
def _bar(total: int, title: str, unit: str, done: int) -> Iterator[Progress]:
    from rich.console import Console, RenderableType
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Rich
    from rich.text import Text

    class WithNote(Rich):
        """A bar above a line for the note, which would squeeze the bar beside it."""

        note = ""

        def get_renderables(self) -> Iterator[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            if self.note:
                yield Text(self.note, no_wrap=True, overflow="ellipsis", style="dim")

    columns = (
        TextColumn(escape(printable(title))),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(escape(unit)),
        TimeRemainingColumn(),
    )
    with WithNote(*columns, console=Console(stderr=True)) as rich:
        task = rich.add_task(title, total=total, completed=done)

        class Bar:
            def advance(self, n: int = 1, note: str = "") -> None:
                rich.note = printable(note) or rich.note
                rich.update(task, advance=n)

        yield Bar()


class LineProgress:
    """Prints progress as plain lines, for logs."""

    def __init__(self, total: int, title: str, unit: str, done: int) -> None:
        self.total, self.title, self.unit, self.finished = total, title, unit, done
        self.started_at = self.printed_at = time.monotonic()
        self.measured_from: tuple[float, int] | None = None
        self.note = ""

    def advance(self, n: int = 1, note: str = "") -> None:
        """Adds ``n`` finished steps; prints a line if the last one is ten seconds old."""
        self.finished += n
        self.note = note or self.note
        if self.measured_from is None:  # what comes before the first step is loading, which no later step repeats
            self.measured_from = (time.monotonic(), self.finished)
        if self.finished < self.total and time.monotonic() - self.printed_at >= SECONDS_BETWEEN_LINES:
            left = self._seconds_left()
            self._print("" if left is None else f", {duration(left)} left")

    def end(self) -> None:
        """Prints the last line, with the total time."""
        self._print(f" in {duration(time.monotonic() - self.started_at)}")

    def _seconds_left(self) -> float | None:
        """Returns the seconds to the end at the average speed since the first step; None where it is not known yet."""
        since, finished = self.measured_from or (0.0, self.finished)
        steps = self.finished - finished
        return (self.total - self.finished) * (time.monotonic() - since) / steps if steps else None

    def _print(self, timing: str) -> None:
        self.printed_at = time.monotonic()
        note = f", {self.note}" if self.note else ""
        unit = f" {self.unit}" if self.unit else ""
        line = f"{self.title}: {self.finished}/{self.total}{unit}{timing}{note}"
        write_line(line, sys.stderr)


def duration(seconds: float) -> str:
    """Returns ``42 s``, ``3 min 05 s`` or ``2 h 07 min``."""
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60:02d} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60:02d} min"
