"""Asks Slurm about all jobs at once, and ends jobs. Works without accounting: ``squeue`` is enough."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence

NAME = "benchbench"
"""The name of every job, by which they are found again."""
SECONDS = 5.0  # between two questions
PATIENCE = 60.0  # for an answer
ENDED = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "TIMEOUT",
}
GONE = "no longer in the queue"


class SlurmQueue:
    """The states of this user's jobs, asked at most every five seconds; a failed question keeps the last answer."""

    def __init__(self) -> None:
        self._states: Mapping[str, str] = {}
        self._asked_at = -SECONDS
        self.answers = 0
        """The number of answers so far."""

    def ask(self) -> None:
        """Asks for the states of all jobs, unless it just did."""
        if time.monotonic() - self._asked_at < SECONDS:
            return
        command = ["squeue", "--me", "--noheader", "--array", "--states=all", f"--name={NAME}", "--format=%i|%T"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        except (OSError, subprocess.SubprocessError):
            return  # the controller is busy or restarts; jobs go on, and the next question may be answered
        finally:
            self._asked_at = time.monotonic()
        pairs = (line.strip().partition("|") for line in answer.stdout.splitlines())
        self._states = {job_id: state for job_id, _, state in pairs}
        self.answers += 1

    def ended(self, job_id: str) -> str | None:
        """Returns the state in which a job has ended, ``GONE`` where Slurm has forgotten it; None while it goes on."""
        state = self._states.get(job_id, GONE)
        return state if state in ENDED or state == GONE else None


def ask_to_save(job_ids: Sequence[str]) -> None:
    """Removes waiting jobs, and asks running ones to save their work and end; they get all the time they need."""
    _scancel(["--state=PENDING"], job_ids)
    _scancel(["--signal=TERM", "--state=RUNNING"], job_ids)


def end(job_ids: Sequence[str]) -> None:
    """Ends jobs: Slurm lets them save for a short time, 30 seconds by default."""
    _scancel([], job_ids)


def _scancel(options: Sequence[str], job_ids: Sequence[str]) -> None:
    """Calls scancel, whose failure means that a job has ended in between."""
    if job_ids:
        subprocess.run(["scancel", "--quiet", *options, *job_ids], capture_output=True, check=False)
