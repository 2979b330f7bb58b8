"""Runs jobs as processes on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from benchbench.errors import BenchError, error_class
from benchbench.runtime.backends.base import Job
from benchbench.runtime.backends.log_tail import last_line
from benchbench.runtime.cores import cores
from benchbench.runtime.devices import VISIBLE, gpus
from benchbench.runtime.file_errors import writing
from benchbench.runtime.interrupt import PARENT
from benchbench.runtime.status import VARIABLE, StatusReader


class LocalBackend:
    """Runs jobs on this machine; each slot has an equal share of the cores, and a GPU where there are GPUs.

    ``devices`` are the ids of the GPUs. A job sees the one that the fewest running jobs use; a job that runs alone sees
    all. Without ``devices`` a job sees what this process sees.
    """

    detached = False

    def __init__(self, slots: int, devices: Sequence[str] = ()) -> None:
        self.slots, self.devices = slots, tuple(devices)
        self._running: list[tuple[str, LocalAttempt]] = []

    @classmethod
    def make(cls, slots: int | None, useful: int) -> LocalBackend:
        """Returns a backend of ``slots`` slots; None: one for each GPU or, without GPUs, one for each core.

        ``useful`` is the largest number of jobs that could run at a time.
        """
        devices = gpus()
        return cls(slots or max(1, min(len(devices) or cores(), useful)), devices)

    def start(self, job: Job) -> LocalAttempt:
        """Starts a process. Raises RunError if its log cannot be written."""
        slots = self.slots if job.exclusive else min(job.slots, self.slots)
        device = "" if job.exclusive else self._free_device()
        visible = {VISIBLE: device} if device else {}
        attempt = LocalAttempt(job, job.threads or max(1, cores() * slots // self.slots), visible)
        self._running.append((device, attempt))
        return attempt

    def _free_device(self) -> str:
        """Returns the GPU that the fewest running jobs use; empty where there is none."""
        self._running = [(device, attempt) for device, attempt in self._running if attempt.poll() is None]
        used = Counter(device for device, _ in self._running)
        return min(self.devices, key=lambda device: used[device], default="")


class LocalAttempt:
    """A process in the process group of the runner: signals of the terminal and to the group reach it, too."""

    def __init__(self, job: Job, threads: int, visible: Mapping[str, str]) -> None:
        self.job = job
        variables = {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
        variables |= {VARIABLE: str(job.status.absolute()), PARENT: str(os.getpid())}
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
                    env={**os.environ, **variables, **visible, **job.environment},
                )

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def poll(self) -> int | None:
        """Returns the exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def progress(self) -> float:
        """Returns 0.99 times the largest reported fraction; 1 once the process has ended."""
        if self._process.returncode is not None:
            return 1.0
        self._status.read(self._process.pid)
        return 0.99 * self._status.progress  # one part may be complete and others still to come

    def note(self) -> str:
        """Returns the note beside the progress that was read last."""
        return self._status.note

    def error(self) -> BenchError:
        """Returns the reported error, else one with the last line of the log, and names a signal that ended it."""
        code = self._process.wait()
        self._status.read(self._process.pid)
        reported, log = self._status.error, self.job.log
        cause = f"{reported.problem} ({reported.cause})" if reported else last_line(log, self._start_of_log)
        if code < 0:
            cause = f"{_signal_name(-code)} ended it; its last message: {cause}"
        remedy = f"see {log}; finished work is kept, so run the same command again"
        if reported:
            remedy = f"{reported.remedy}; finished work is kept; see {log}"
        return error_class(code)(f"{self.job.name} failed", cause, remedy)

    def cancel(self) -> None:
        """Requests the process to save its work and end."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends the process at once."""
        self._process.kill()

    def wait(self) -> None:
        """Waits until the process has ended."""
        self._process.wait()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
