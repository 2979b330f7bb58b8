"""Runs jobs a few at a time and shows how far all of them are: the only runner of processes.

Ctrl-C, SIGTERM and SIGHUP end the running jobs, which save what they have, and wait for them; a second signal kills
them. Both leave what the same command takes up again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchbench.errors import BenchError, RunError
from benchbench.runtime.backends.base import Attempt, Backend, Job
from benchbench.runtime.backends.local import LocalBackend
from benchbench.runtime.interrupt import Interrupt
from benchbench.runtime.progress import Progress, progress

__all__ = ["Failure", "Job", "LocalBackend", "run"]

POLL = 0.2  # seconds between two looks at the running jobs
INTERRUPTED = (130, -2)  # exit statuses of a process that Ctrl-C ended
MESSAGE = "stopping: what runs saves what it has; again to stop at once"

Listener = Callable[[Job], object]


class Failure(NamedTuple):
    """A job that failed, and why."""

    job: Job
    error: BenchError


def _ignore(job: Job) -> None:
    pass


def run(
    jobs: Sequence[Job],
    backend: Backend,
    title: str = "",
    *,
    stop_at_first: bool = False,
    on_start: Listener = _ignore,
    on_end: Listener = _ignore,
) -> list[Failure]:
    """Runs every job and returns those that failed alone: by a non-finite reward, a signal, a full memory.

    Jobs start in the given order once those they come after have ended. An error that would stop the others too (a
    setting, missing weights, a damaged file) ends them and is raised with its own exit code; ``stop_at_first`` treats
    every error so. Without a title no progress is shown. KeyboardInterrupt is raised once all jobs have ended.
    """
    if not jobs:
        return []
    return _Runner(jobs, backend, stop_at_first, on_start, on_end).run(title)


class _Runner:
    def __init__(
        self, jobs: Sequence[Job], backend: Backend, stop_at_first: bool, on_start: Listener, on_end: Listener
    ) -> None:
        strangers = [need.name for job in jobs for need in job.after if need not in jobs]
        if strangers:
            raise ValueError(f"jobs wait for others that are not run: {', '.join(strangers)}")
        self.backend, self.stop_at_first, self.on_start, self.on_end = backend, stop_at_first, on_start, on_end
        self.jobs, self.waiting, self.running = tuple(jobs), list(jobs), list[Attempt]()
        self.done, self.failures, self.shown = set[Job](), list[Failure](), 0

    def run(self, title: str) -> list[Failure]:
        total = max(1, round(sum(job.weight for job in self.jobs)))
        interrupt = Interrupt(lambda line: print(f"\n{line}", file=sys.stderr, flush=True), message=MESSAGE)
        with interrupt, progress(total, title, silent=not title) as bar:
            try:
                while self.waiting or self.running:
                    self._drop_dependents()
                    self._start_ready()
                    time.sleep(POLL)
                    if interrupt.asked:
                        raise KeyboardInterrupt
                    self._collect()
                    self._show(bar)
            finally:
                self._end()
        return self.failures

    def _start_ready(self) -> None:
        """Starts what can start. One that has to wait for slots holds back those behind it, or it might starve."""
        for job in list(self.waiting):
            if not self.done.issuperset(job.after):
                continue
            taken = sum(attempt.job.slots for attempt in self.running)
            alone = job.exclusive or any(attempt.job.exclusive for attempt in self.running)
            if self.running and (alone or taken + job.slots > self.backend.slots):
                return
            self.waiting.remove(job)
            self.running.append(self.backend.start(job))
            self.on_start(job)

    def _collect(self) -> None:
        """Takes in what has ended. Errors: those that end the other jobs too."""
        for attempt in list(self.running):
            code = attempt.poll()
            if code is None:
                continue
            self.running.remove(attempt)
            if code in INTERRUPTED:
                raise KeyboardInterrupt
            if code:
                error = attempt.error()
                if self.stop_at_first or error.code != RunError.code:
                    raise error
                self.failures.append(Failure(attempt.job, error))
            else:
                self.done.add(attempt.job)
                self.on_end(attempt.job)

    def _drop_dependents(self) -> None:
        """Counts as failed what waits for a job that failed."""
        failed = {failure.job for failure in self.failures}
        for job in list(self.waiting):
            lost = [need for need in job.after if need in failed]
            if lost:
                self.waiting.remove(job)
                failed.add(job)
                cause = f"it needs {lost[0].name}, which failed"
                self.failures.append(
                    Failure(job, RunError(f"{job.name} was not run", cause, "run the same command again"))
                )

    def _show(self, bar: Progress) -> None:
        shares = {attempt.job: attempt.progress() for attempt in self.running}
        ended = self.done | {failure.job for failure in self.failures}
        now = round(sum(job.weight * (job in ended or shares.get(job, 0.0)) for job in self.jobs))
        if now > self.shown:
            names = ", ".join(job.name for job in shares)
            bar.advance(now - self.shown, f"now: {names}" if names else "")
            self.shown = now

    def _end(self) -> None:
        """Ends what runs and waits for it; after a second signal without mercy."""
        for attempt in self.running:
            attempt.cancel()
        try:
            for attempt in self.running:
                attempt.wait()
        except KeyboardInterrupt:
            for attempt in self.running:
                attempt.kill()
            for attempt in self.running:
                attempt.wait()
            raise
