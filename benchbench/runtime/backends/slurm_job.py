"""The command of a job inside a Slurm job: submitit unpickles ``SlurmCommand`` there and calls it.

Imports submitit inside functions: it is an optional package, and is loaded where this runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench.runtime.backends.slurm_status import MAX_TRIES, SlurmStatus, write_exit, write_start
from benchbench.runtime.interrupt import PARENT
from benchbench.runtime.json_files import find_object
from benchbench.runtime.status import VARIABLE, WHERE

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

INTERRUPTED = (130, -signal.SIGTERM, -signal.SIGUSR2)
"""Exit statuses of a command that was asked to save and end; negative before it could listen."""
SECONDS_TO_REQUEUE = 90.0
"""Time for Slurm after a SIGTERM that is not ours: a preemption sends SIGUSR2 later, or ends and requeues the job."""


@dataclass
class SlurmCommand:
    """A command with its environment and files; only words, so that its pickle holds nothing else."""

    words: tuple[str, ...]
    """The words after ``python -m``."""
    environment: dict[str, str]
    """Environment variables, added to those of the Slurm job."""
    log: str
    status: str
    record: str
    """The file in which the waiting command says that this job is to end."""
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def __call__(self) -> None:
        """Runs the command. Ends this process with its exit status unless that is 0."""
        job_id = _job_id()
        if self._is_cancelled(job_id):
            write_exit(Path(self.status), job_id, os.getpid(), 130)
            sys.exit(130)
        threads = os.environ.get("SLURM_CPUS_ON_NODE", "1")
        variables = {"OMP_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1", **self.environment}
        variables |= {VARIABLE: self.status, PARENT: str(os.getpid()), WHERE: f"slurm {job_id}"}
        with Path(self.log).open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", *self.words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **variables},
            )
        write_start(Path(self.status), job_id, self._child.pid)
        code = (
            self._child.wait()
        )  # ``checkpoint`` may be called in between, from a signal's handler, and end this process
        if code in INTERRUPTED and not self._is_cancelled(job_id):
            time.sleep(SECONDS_TO_REQUEUE)
        write_exit(Path(self.status), job_id, self._child.pid, code)
        if code:
            sys.exit(code if code > 0 else 128 - code)

    def checkpoint(self) -> DelayedSubmission | None:
        """Waits until the command has saved its work; returns this object, with which submitit requeues the job.

        Returns None, so that the job ends, for a command that ended by itself, for one that is to end, and for one that
        was requeued three times without progress.
        """
        from submitit.helpers import DelayedSubmission

        child, job_id = self._child, _job_id()
        code = _ended(child) if child else 130
        pid = child.pid if child else os.getpid()
        status = SlurmStatus(Path(self.status))
        status.follow(job_id)
        status.read()
        if code in INTERRUPTED and not self._is_cancelled(job_id) and status.tries <= MAX_TRIES:
            return DelayedSubmission(SlurmCommand(self.words, self.environment, self.log, self.status, self.record))
        write_exit(Path(self.status), job_id, pid, code)
        return None

    def _is_cancelled(self, job_id: str) -> bool:
        record = find_object(Path(self.record)) or {}
        return record.get("job") == job_id and record.get("cancel") is True


def _ended(child: subprocess.Popen[bytes]) -> int:
    """Asks the child to save its work, waits for its end, and returns its exit status.

    Leaves the child to ``Popen.wait``, which this interrupts and which holds a lock.
    """
    with suppress(ProcessLookupError, ChildProcessError):
        if child.returncode is None:
            os.kill(child.pid, signal.SIGUSR2)  # Slurm sent it to every process of the job, but not every Slurm does
            ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            if ended:
                return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
    return 130 if child.returncode is None else child.returncode


def _job_id() -> str:
    """Returns the id of this Slurm job, as ``squeue`` shows it."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]
