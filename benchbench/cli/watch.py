"""Shows the jobs of tables again and again: drawn anew on a terminal, and a line for each change into a pipe."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from benchbench.cli.ui import log
from benchbench.runtime.printable import printable

if TYPE_CHECKING:
    from rich.console import Group

    from benchbench.reproduce.table_status import JobStatus

EVERY = 2.0  # seconds
SHOWN = ("failed", "stopped", "running")  # the states of jobs that are drawn; the others are counted


def watch_jobs(look: Callable[[], Sequence[JobStatus]]) -> None:
    """Shows what ``look`` returns until every job is done, or until Ctrl-C."""
    with suppress(KeyboardInterrupt):
        if sys.stdout.isatty():
            _draw(look)
        else:
            _print_changes(look)


def _draw(look: Callable[[], Sequence[JobStatus]]) -> None:
    from rich.live import Live

    jobs = look()
    with Live(_drawing(jobs), auto_refresh=False) as live:
        while not _all_done(jobs):
            time.sleep(EVERY)
            before, jobs = jobs, look()
            if jobs != before:  # what is drawn again flickers
                live.update(_drawing(jobs), refresh=True)


def _print_changes(look: Callable[[], Sequence[JobStatus]]) -> None:
    """Prints each job at first, and then each whose state or progress has changed, with the counts below them."""
    before: Sequence[JobStatus] = []
    while True:
        jobs = look()
        changed = [job for job in jobs if job not in before]
        for job in changed:
            log(f"{job.state}\t{job.name}\t{job.about}".rstrip())
        if changed:
            log(_counts(jobs))
        if _all_done(jobs):
            return
        before = jobs
        time.sleep(EVERY)


def _all_done(jobs: Sequence[JobStatus]) -> bool:
    return all(job.state == "done" for job in jobs)


def _counts(jobs: Sequence[JobStatus]) -> str:
    """Returns ``3 done, 1 failed, 2 running, 7 left``."""
    counts: Counter[str] = Counter(job.state for job in jobs)
    return ", ".join(f"{counts[state]} {state}" for state in ("done", *SHOWN, "left") if counts[state])


def _drawing(jobs: Sequence[JobStatus]) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown = [job for state in SHOWN for job in jobs if job.state == state]
    # a reason is longer than the screen is wide: in the grid it would squeeze the names; on top a low screen shows it
    reasons = [Text(printable(f"failed  {job.name}: {job.about}")) for job in shown if job.state == "failed"]
    grid = Table(box=None, pad_edge=False, show_header=False)
    for job in shown:
        if job.state != "failed":
            grid.add_row(job.state, Text(printable(job.name)), Text(printable(job.about), overflow="ellipsis"))
    return Group(Text(_counts(jobs)), *reasons, grid)
