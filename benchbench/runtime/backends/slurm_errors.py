"""The errors of jobs that ran in Slurm."""

from __future__ import annotations

from contextlib import suppress

from benchbench.errors import BenchError, RunError, error_class
from benchbench.runtime.backends.base import Job
from benchbench.runtime.backends.log_tail import last_line
from benchbench.runtime.backends.slurm_status import MAX_TRIES

SLURMS = ("srun:", "slurmstepd")
"""Beginnings of lines that Slurm adds to what a job prints."""


def failed(job: Job, code: int, reported: BenchError | None, start_of_log: int) -> BenchError:
    """Returns the error of a command that failed by itself: the one that it reported, else its last line."""
    remedy = f"see {job.log}; finished work is kept, so run the same command again"
    cause = last_line(job.log, start_of_log)
    if reported:
        cause = f"{reported.problem} ({reported.cause})"
        remedy = f"{reported.remedy}; finished work is kept; see {job.log}"
    return error_class(code)(f"{job.name} failed", cause, remedy)


def lost(job: Job, end: str, start_of_log: int) -> RunError:
    """Returns the error of a command that was ended again and again and got no further; ``end`` says how at last."""
    return RunError(
        f"{job.name} failed",
        f"{end}, the last of {MAX_TRIES + 1} times without progress; its log ends: {last_line(job.log, start_of_log)}",
        f"ask Slurm for more, as --slurm mem=64G or time=24:00:00; see {job.log}; finished work is kept",
    )


def never_began(job: Job, end: str, job_id: str) -> RunError:
    """Returns the error of a Slurm job that ended before its command started."""
    folder = job.log.absolute().parent / "slurm"
    said = f"nothing of it appeared in {folder}, which its node may not see"
    with suppress(OSError):
        said = f"its last message: {last_line(folder / f'{job_id}_0_log.err', skipped=SLURMS)}"
    return RunError(
        f"{job.name} did not start",
        f"{end}; {said}",
        f"use a store (--store) and a Python environment that all nodes see; Slurm's output is in {folder}",
    )
