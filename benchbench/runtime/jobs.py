"""Runs jobs as processes, several at a time, and shows their progress: the only runner of processes.

On Ctrl-C, SIGTERM or SIGHUP the running jobs save what they have and end, and the runner waits for them; a second
signal kills them. Jobs that go on without the runner, as in a queue, end by Ctrl-C alone. After all of these, the same
command continues the work.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchbench.errors import BenchError, RunError
from benchbench.runtime.backends.base import Attempt, Backend, Job
from benchbench.runtime.backends.local import LocalBackend
from benchbench.runtime.interrupt import Interrupt
from benchbench.runtime.output import write_line
from benchbench.runtime.progress import Progress, progress

__all__ = ["Failure", "Job", "LocalBackend", "run"]

POLL = 0.2  # seconds between two polls of the running jobs
INTERRUPTED = (130, -2)  # exit statuses after Ctrl-C
LEAVING = "ending; the jobs in the queue go on"
MESSAGE = "stopping: running jobs save what they have; again to stop at once"

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
    """Runs every job and returns those that failed by a non-finite reward, a signal or too little memory.

    Jobs start in the given order, each once the jobs in its ``after`` have ended. An error that would stop other jobs,
    too (a setting, missing weights, a damaged file), ends all jobs and is raised with its own exit code; with
    ``stop_at_first`` every error does. Without a title no progress is shown. Raises KeyboardInterrupt once all jobs
    have ended.
    """
    if not jobs:
        return []
    return _Runner(jobs, backend, stop_at_first, on_start, on_end).run(title)


class _Runner:
    def __init__(
        self, jobs: Sequence[Job], backend: Backend, stop_at_first: bool, on_start: Listener, on_end: Listener
    ) -> None:
        missing = [needed.name for job in jobs for needed in job.after if needed not in jobs]
        if missing:
            raise ValueError(f"jobs wait for others that are not run: {', '.join(missing)}")
        self.backend, self.stop_at_first, self.on_start, self.on_end = backend, stop_at_first, on_start, on_end
        self.jobs, self.waiting, self.running = tuple(jobs), list(jobs), list[Attempt]()
        self.finished, self.failures, self.shown = set[Job](), list[Failure](), 0

    def run(self, title: str) -> list[Failure]:
        total = max(1, round(sum(job.weight for job in self.jobs)))
        interrupt = Interrupt(
            lambda line: write_line(f"\n{LEAVING if self._leaves_jobs(interrupt) else line}", sys.stderr),
            message=MESSAGE,
        )
        with interrupt, progress(total, title, silent=not title) as bar:
            try:
                while self.waiting or self.running:
                    self._drop_dependents()
                    self._start_ready()
                    time.sleep(POLL)
                    if interrupt.requested:
                        raise KeyboardInterrupt
                    self._collect()
                    self._show(bar)
            finally:
                if not self._leaves_jobs(interrupt):
                    self._end_all()
        return self.failures

    def _leaves_jobs(self, interrupt: Interrupt) -> bool:
        return self.backend.detached and interrupt.number in (signal.SIGTERM, signal.SIGHUP)

    def _start_ready(self) -> None:
        """Starts all jobs that can start. A job that waits for slots holds back those after it, or it might starve."""
        for job in list(self.waiting):
            if not self.finished.issuperset(job.after):
                continue
            used_slots = sum(attempt.job.slots for attempt in self.running)
            exclusive = job.exclusive or any(attempt.job.exclusive for attempt in self.running)
            if self.running and (exclusive or used_slots + job.slots > self.backend.slots):
                return
            self.waiting.remove(job)
            self.running.append(self.backend.start(job))
            self.on_start(job)

    def _collect(self) -> None:
        """Records the jobs that have ended. Raises the error of a job that ends all others, too."""
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
                self.finished.add(attempt.job)
                self.on_end(attempt.job)

    def _drop_dependents(self) -> None:
        """Records a job as failed if it waits for a failed one."""
        failed = {failure.job for failure in self.failures}
        for job in list(self.waiting):
            failed_needs = [needed for needed in job.after if needed in failed]
            if failed_needs:
                self.waiting.remove(job)
                failed.add(job)
                cause = f"it needs {failed_needs[0].name}, which failed"
                self.failures.append(
                    Failure(job, RunError(f"{job.name} was not run", cause, "run the same command again"))
                )

    def _show(self, bar: Progress) -> None:
        fractions = {attempt.job: attempt.progress() for attempt in self.running}
        ended = self.finished | {failure.job for failure in self.failures}
        progress = round(sum(job.weight * (job in ended or fractions.get(job, 0.0)) for job in self.jobs))
        if progress > self.shown:
            notes = {attempt.job: attempt.note() for attempt in self.running}
            names = ", ".join(f"{job.name} ({note})" if note else job.name for job, note in notes.items())
            bar.advance(progress - self.shown, f"now: {names}" if names else "")
            self.shown = progress

    def _end_all(self) -> None:
        """Ends the running jobs and waits for them; a second signal kills them."""
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
