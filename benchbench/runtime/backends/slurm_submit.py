"""Submits commands to Slurm through submitit.

Imports submitit inside functions: it is an optional package, `pip install 'benchbench[slurm]'`.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchbench.errors import MissingError, RunError, UsageError
from benchbench.runtime.backends.slurm_job import SlurmCommand
from benchbench.runtime.backends.slurm_queue import NAME
from benchbench.runtime.file_errors import writing

MAX_ARRAY = 256
"""Jobs of one array; clusters take 1000 and more."""
NO_LIMIT = 1_000_000  # requeues after a time limit: SlurmCommand counts those without progress
BUSY = ("Unable to contact", "timed out", "Zero Bytes", "temporarily unable", "temporarily unavailable")
"""Words of sbatch where the controller does not answer for now."""
PROGRAMS = ("sbatch", "srun", "squeue", "scancel")


class SlurmBusyError(RunError):
    """Slurm's controller does not answer; it may do so later."""


class Submitter:
    """Submits commands with the same parameters of submitit."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        """Errors: MissingError where submitit or Slurm's programs are not installed."""
        if not find_spec("submitit"):
            raise MissingError(
                "jobs cannot be submitted to Slurm", "submitit is not installed", "pip install 'benchbench[slurm]'"
            )
        absent = [program for program in PROGRAMS if not shutil.which(program)]
        if absent:
            raise MissingError(
                "jobs cannot be submitted to Slurm",
                f"{', '.join(absent)} is not found on this machine",
                "run this command where sbatch works, as on the cluster's login node",
            )
        self._parameters = {"job_name": NAME, **parameters}

    def submit(self, commands: Sequence[SlurmCommand], folder: Path) -> list[str]:
        """Returns the ids of Slurm jobs, one for each command.

        Errors: UsageError where Slurm refuses them, SlurmBusyError where it does not answer.
        """
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        own_folder(folder)
        executor = SlurmExecutor(folder, max_num_timeout=NO_LIMIT)
        executor.update_parameters(**self._parameters)
        try:
            with undisturbed(), redirect_stderr(io.StringIO()):  # submitit prints what the error says, too
                return [str(job.job_id) for job in executor.submit_array(commands)]
        except (FailedJobError, FailedSubmissionError) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            cause = "; ".join(dict.fromkeys(lines)) or "sbatch gave no reason"
            if any(word in cause for word in BUSY):
                raise SlurmBusyError("Slurm does not answer", cause, "wait, and run the same command again") from error
            raise UsageError(
                "Slurm refuses the jobs",
                cause,
                "change --slurm or --max-jobs; `sinfo` lists partitions and their limits",
            ) from error


def own_folder(folder: Path) -> None:
    """Makes a folder that only this user reads and writes: what lies in it is unpickled. Errors: UsageError."""
    with writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise UsageError(
            f"{folder} is not a folder of yours alone",
            "others could change what Slurm jobs run from it",
            f"remove it, or: chmod 700 {folder}",
        )


@contextmanager
def undisturbed() -> Iterator[None]:
    """Delays signals until the block ends, also those to programs that it starts: no submitted job is forgotten."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
