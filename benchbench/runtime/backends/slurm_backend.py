"""Runs jobs in a Slurm cluster: ``--on slurm --slurm partition=gpu,time=8:00:00,gres=gpu:1``.

Jobs that start together are one job array. A job that Slurm ends before it is done is submitted again, up to three
times without progress. Beside each log lies a record with the id of the Slurm job, by which the same command, started
again, finds its jobs in the queue. The jobs report to this process through their status files in the store.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchbench.runtime.backends import slurm_queue
from benchbench.runtime.backends.base import Job
from benchbench.runtime.backends.slurm_attempt import SlurmAttempt
from benchbench.runtime.backends.slurm_options import parameters
from benchbench.runtime.backends.slurm_queue import SlurmQueue
from benchbench.runtime.backends.slurm_submit import MAX_ARRAY, SlurmBusyError, Submitter, undisturbed
from benchbench.runtime.output import write_line

PAUSE = 30.0  # seconds to the next try where Slurm does not answer


class SlurmBackend:
    """Submits jobs to Slurm and watches all of them with one question every few seconds."""

    detached = True

    def __init__(self, slots: int, submitter: Submitter) -> None:
        self.slots, self.queue, self._submitter = slots, SlurmQueue(), submitter
        self._waiting, self.to_end, self._not_before = list[SlurmAttempt](), list[str](), 0.0

    @classmethod
    def make(cls, slots: int | None, useful: int, options: Mapping[str, str]) -> SlurmBackend:
        """Returns a backend of ``slots`` jobs at a time; None: as many as could run, at most ``MAX_ARRAY``.

        Errors: UsageError for options, MissingError where submitit or Slurm is not installed.
        """
        return cls(slots or max(1, min(useful, MAX_ARRAY)), Submitter(parameters(options)))

    def start(self, job: Job) -> SlurmAttempt:
        """Returns a job that is submitted, together with the others, when the first of them is polled."""
        attempt = SlurmAttempt(job, self)
        self._waiting.append(attempt)
        return attempt

    def submit_later(self, attempt: SlurmAttempt) -> None:
        """Submits a job with the next ones."""
        self._waiting.append(attempt)

    def withdraw(self, attempt: SlurmAttempt) -> bool:
        """Returns True for a job that was waiting to be submitted, and will not be."""
        if attempt not in self._waiting:
            return False
        self._waiting.remove(attempt)
        return True

    def submit_waiting(self) -> None:
        """Submits what waits, unless it is in the queue already. Errors: UsageError where Slurm refuses it."""
        if not self._waiting or time.monotonic() < self._not_before:
            return
        if any(attempt.recorded for attempt in self._waiting):
            self.queue.ask()
            if not self.queue.answers:
                return  # they may be in the queue
        waiting, self._waiting, new = self._waiting, [], list[SlurmAttempt]()
        for attempt in waiting:
            if attempt.recorded and not self.queue.ended(attempt.recorded):
                attempt.follow(attempt.recorded)
            else:
                new.append(attempt)
        for folder in dict.fromkeys(attempt.job.log.parent for attempt in new):
            self._submit([attempt for attempt in new if attempt.job.log.parent == folder])

    def _submit(self, attempts: list[SlurmAttempt]) -> None:
        """Submits jobs whose logs share a folder, as arrays."""
        for start in range(0, len(attempts), MAX_ARRAY):
            part = attempts[start : start + MAX_ARRAY]
            with undisturbed(), self._again_later(part):
                job_ids = self._submitter.submit([one.command() for one in part], part[0].job.log.parent / "slurm")
                for attempt, job_id in zip(part, job_ids, strict=True):
                    attempt.submitted(job_id)

    @contextmanager
    def _again_later(self, attempts: list[SlurmAttempt]) -> Iterator[None]:
        """Keeps jobs for later where Slurm does not answer: those that run are not to end for that."""
        try:
            yield
        except SlurmBusyError as error:
            write_line(f"{error.problem} ({error.cause}); trying again every {PAUSE:.0f} s", sys.stderr)
            self._waiting += attempts
            self._not_before = time.monotonic() + PAUSE

    def end_requested(self) -> None:
        """Asks the jobs in ``to_end`` to save and end, all at once."""
        job_ids, self.to_end = self.to_end, []
        slurm_queue.ask_to_save(job_ids)
