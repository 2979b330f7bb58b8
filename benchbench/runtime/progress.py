"""Progress on standard error: a bar with the time left on a terminal, a plain line every ten seconds elsewhere.

A job reports the same to its runner (runtime/status.py).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from benchbench.runtime import status

EVERY = 10.0  # seconds between plain lines


class Progress(Protocol):
    """What ``progress`` gives."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """``n`` more are done; the note is shown beside, such as the reward so far."""


@contextmanager
def progress(total: int, title: str, unit: str = "", done: int = 0, silent: bool = False) -> Iterator[Progress]:
    """Shows how far ``total`` steps are; ``done`` of them were there before and say nothing about the speed."""
    if silent:  # another process shows it
        yield _Silent()
    elif sys.stderr.isatty():
        with _bar(total, title, unit, done) as bar:
            yield _Reported(bar, total, done)
    else:
        lines = Lines(total, title, unit, done)
        yield _Reported(lines, total, done)
        lines.end()


class _Silent:
    def advance(self, n: int = 1, note: str = "") -> None:
        pass


class _Reported:
    """Progress that is shown and, a hundred times in all, reported."""

    def __init__(self, shown: Progress, total: int, done: int) -> None:
        self._shown, self._total, self._done, self._told = shown, max(total, 1), done, 0.0

    def advance(self, n: int = 1, note: str = "") -> None:
        self._done += n
        fraction = min(1.0, self._done / self._total)
        if fraction - self._told >= 0.01 or fraction == 1:
            self._told = fraction
            status.report_progress(fraction)
        self._shown.advance(n, note)


@contextmanager
def _bar(total: int, title: str, unit: str, done: int) -> Iterator[Progress]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Rich

    columns = (
        TextColumn(escape(title)),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(escape(unit)),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Rich(*columns, console=Console(stderr=True)) as rich:
        task = rich.add_task(title, total=total, completed=done, note="")

        class Bar:
            def advance(self, n: int = 1, note: str = "") -> None:
                rich.update(task, advance=n, note=escape(note))

        yield Bar()


class Lines:
    """Progress as lines, for logs."""

    def __init__(self, total: int, title: str, unit: str, done: int) -> None:
        self.total, self.title, self.unit, self.done, self.before = total, title, unit, done, done
        self.started = self.said = time.monotonic()
        self.note = ""

    def advance(self, n: int = 1, note: str = "") -> None:
        """A line where the last one is ten seconds old."""
        self.done += n
        self.note = note or self.note
        if self.done < self.total and time.monotonic() - self.said >= EVERY:
            self._say(f", {duration(self._left())} left")

    def end(self) -> None:
        """The last line, with the time that all took."""
        self._say(f" in {duration(time.monotonic() - self.started)}")

    def _left(self) -> float:
        """Seconds, from the speed so far."""
        speed = (self.done - self.before) / (time.monotonic() - self.started)
        return (self.total - self.done) / speed if speed else 0.0

    def _say(self, when: str) -> None:
        self.said = time.monotonic()
        note = f", {self.note}" if self.note else ""
        unit = f" {self.unit}" if self.unit else ""
        print(f"{self.title}: {self.done}/{self.total}{unit}{when}{note}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 05 s`` or ``2 h 07 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
