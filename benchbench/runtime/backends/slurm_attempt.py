"""A job of the Slurm backend: several Slurm jobs, one after the other, where Slurm ends them before they are done."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from benchbench.errors import BenchError, RunError
from benchbench.runtime.backends import slurm_queue
from benchbench.runtime.backends.base import Job
from benchbench.runtime.backends.slurm_errors import failed, lost, never_began
from benchbench.runtime.backends.slurm_job import INTERRUPTED, SlurmCommand
from benchbench.runtime.backends.slurm_status import MAX_TRIES, SlurmStatus
from benchbench.runtime.file_errors import writing
from benchbench.runtime.hashing import digest
from benchbench.runtime.json_files import find_object, write_json

if TYPE_CHECKING:
    from benchbench.runtime.backends.slurm_backend import SlurmBackend

GRACE = 10.0  # seconds in which the last line of an ended job may still arrive through a shared file system
LOST = RunError.code
JOB_ID = re.compile(r"\d+(_\d+)?")


class SlurmAttempt:
    """A job that waits to be submitted, is in the queue, or has ended."""

    _code: int | None
    _ended_at: float | None

    def __init__(self, job: Job, backend: SlurmBackend) -> None:
        self.job, self._backend = job, backend
        with writing(job.log):
            job.log.parent.mkdir(parents=True, exist_ok=True)
            job.log.touch()
        self._start_of_log, self._status = job.log.stat().st_size, SlurmStatus(job.status.absolute())
        self._record, self._digest = job.log.absolute().with_suffix(".slurm.json"), digest(list(job.command))
        noted = find_object(self._record) or {}
        known = noted.get("command") == self._digest and JOB_ID.fullmatch(str(noted.get("job")))
        self.recorded = str(noted["job"]) if known else ""
        """The Slurm job in which an earlier command runs the same; empty where there is none."""
        self._job_id, self._code, self._end, self._cancelled = "", None, "", False
        self._ended_at, self._answers, self._unseen = None, 0, 0

    def command(self) -> SlurmCommand:
        """Returns what the Slurm job runs."""
        threads = {"OMP_NUM_THREADS": str(self.job.threads)} if self.job.threads else {}
        files = (str(path) for path in (self.job.log.absolute(), self.job.status.absolute(), self._record))
        return SlurmCommand(self.job.command, {**threads, **self.job.environment}, *files)

    def submitted(self, job_id: str) -> None:
        """Notes a new Slurm job, for later commands, too, and follows it."""
        write_json(self._record, {"job": job_id, "command": self._digest})
        self.follow(job_id)

    def follow(self, job_id: str) -> None:
        """Watches a Slurm job from now on."""
        self._job_id, self.recorded, self._ended_at = job_id, "", None
        self._answers = self._backend.queue.answers
        self._status.follow(job_id)

    def poll(self) -> int | None:
        """Returns the exit status of the command; None while it waits or runs, or will go on. Errors: of submission."""
        self._backend.submit_waiting()
        if self._code is None and self._job_id:
            self._code = self._look()
        return self._code

    def _look(self) -> int | None:
        self._status.read()
        if self._status.exit is None:
            state = self._ended_in()
            return None if state is None else self._go_on(f"Slurm ended it, {state}")
        code = self._status.exit
        if code in INTERRUPTED:
            return self._go_on("it was asked to save and end")
        return code if code >= 0 else self._go_on(f"signal {-code} ended it, as where memory is short")

    def _ended_in(self) -> str | None:
        """Returns the state of a Slurm job that ended without a word; None while that is not certain."""
        queue = self._backend.queue
        queue.ask()
        state = queue.ended(self._job_id) if queue.answers > self._answers else None
        if state is None:
            self._ended_at = None
            return None
        self._ended_at = self._ended_at or time.monotonic()
        if not self._cancelled and time.monotonic() - self._ended_at < GRACE:
            return None
        self._status.read(at_once=True)
        return state if self._status.exit is None else None

    def _go_on(self, end: str) -> int | None:
        """Submits a job again that ended before it was done. Returns an exit status where it is not to go on."""
        if self._cancelled:
            return 130
        self._end = f"{end} (Slurm job {self._job_id})"
        self._unseen += not self._status.began
        if self._unseen > 1 or self._status.tries > MAX_TRIES:
            return LOST
        with writing(self.job.log), self.job.log.open("a", encoding="utf-8") as log:
            log.write(f"{self._end}; submitted again\n")
        self._job_id = ""
        self._backend.submit_later(self)
        return None

    def progress(self) -> float:
        """Returns 0.99 times the largest reported fraction; 1 once the job has ended."""
        return 1.0 if self._code is not None else 0.99 * self._status.progress

    def note(self) -> str:
        """Returns the note beside the progress that was read last."""
        return self._status.note

    def error(self) -> BenchError:
        """Returns the reported error, else one that says how the job ended."""
        if not self._end or self._status.exit == self._code:
            self._status.read(at_once=True)
            return failed(self.job, self._code or LOST, self._status.error, self._start_of_log)
        if self._status.began:
            return lost(self.job, self._end, self._start_of_log)
        return never_began(self.job, self._end, self._job_id)

    def cancel(self) -> None:
        """Requests the job to save its work and end; ``wait`` of the first job sends all requests together."""
        self._cancelled = True
        if self._backend.withdraw(self) or not self._job_id:
            self._code = 130
        elif self._code is None:
            write_json(self._record, {"job": self._job_id, "command": self._digest, "cancel": True})
            self._backend.to_end.append(self._job_id)

    def kill(self) -> None:
        """Ends the job; Slurm gives it some seconds to save."""
        if self._job_id and self._code is None:
            slurm_queue.end([self._job_id])
        self._code = 130

    def wait(self) -> None:
        """Waits until the job has ended."""
        self._backend.end_requested()
        while self.poll() is None:
            time.sleep(1)
