"""Jobs as processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from benchbench.errors import BenchError, error_class
from benchbench.runtime.backends.base import Job
from benchbench.runtime.cores import cores
from benchbench.runtime.files import writing
from benchbench.runtime.interrupt import PARENT
from benchbench.runtime.status import VARIABLE, StatusReader

TAIL = 4096  # bytes at the end of a log, where the last words are looked for


class LocalBackend:
    """Runs jobs on this machine; each slot has an equal share of the cores."""

    def __init__(self, slots: int) -> None:
        self.slots = slots

    def start(self, job: Job) -> LocalAttempt:
        """Starts a process. Errors: RunError where its log cannot be written."""
        slots = self.slots if job.exclusive else min(job.slots, self.slots)
        return LocalAttempt(job, job.threads or max(1, cores() * slots // self.slots))


class LocalAttempt:
    """A process in this process's group, so that a terminal's signals and a group's kill reach it too."""

    def __init__(self, job: Job, threads: int) -> None:
        self.job = job
        own = {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
        own |= {VARIABLE: str(job.status.absolute()), PARENT: str(os.getpid())}
        with writing(job.log):
            job.log.parent.mkdir(parents=True, exist_ok=True)
            with job.log.open("ab") as log:
                self._start_of_log = log.seek(0, os.SEEK_END)
                self._status = StatusReader(job.status)
                self._process = subprocess.Popen(
                    [sys.executable, "-m", *job.command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **own, **job.environment},
                )

    def poll(self) -> int | None:
        """Returns the exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def progress(self) -> float:
        """Returns the largest fraction that the process has reported; 1 once it has ended."""
        if self._process.returncode is not None:
            return 1.0
        self._status.read(self._process.pid)
        return 0.99 * self._status.progress  # its work may have more parts than the one that is complete

    def error(self) -> BenchError:
        """Returns what the process reported, else the last line of its log, and the signal that ended it."""
        code = self._process.wait()
        self._status.read(self._process.pid)
        told, log = self._status.error, self.job.log
        cause = f"{told.problem} ({told.cause})" if told else self._last_words()
        if code < 0:
            cause = f"it was ended by {_name(-code)}; its last words: {cause}"
        remedy = f"see {log}; what is done is kept, so run the same command again"
        if told:
            remedy = f"{told.remedy}; what is done is kept; see {log}"
        return error_class(code)(f"{self.job.name} failed", cause, remedy)

    def _last_words(self) -> str:
        with self.job.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._start_of_log, size - TAIL))
            lines = log.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")

    def cancel(self) -> None:
        """Asks the process to save what it has and end."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends the process at once."""
        self._process.kill()

    def wait(self) -> None:
        """Waits until the process has ended."""
        self._process.wait()


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
