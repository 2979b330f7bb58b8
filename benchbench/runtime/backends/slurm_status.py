"""Writes what a Slurm job adds to the status file of its command (runtime/status.py), and follows it.

    {"pid": 71, "slurm": {"job": "1234_5"}}
    {"pid": 71, "progress": 0.25}
    {"pid": 71, "slurm": {"job": "1234_5", "exit": 130}}

A job that was requeued starts again, with another process id.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from benchbench.errors import BenchError
from benchbench.runtime.file_errors import writing
from benchbench.runtime.status import NewEntries, parse_error, read_note

MAX_TRIES = 3
"""Times that a job which was ended is started again without progress."""
SECONDS = 1.0  # between two looks at a file, which may lie on another machine


def write_start(path: Path, job_id: str, pid: int) -> None:
    """Says that the command of a Slurm job runs as process ``pid``."""
    _append(path, {"pid": pid, "slurm": {"job": job_id}})


def write_exit(path: Path, job_id: str, pid: int, code: int) -> None:
    """Says that the command has ended, and that its Slurm job will not go on."""
    _append(path, {"pid": pid, "slurm": {"job": job_id, "exit": code}})


def _append(path: Path, entry: dict[str, Any]) -> None:
    with writing(path), path.open("ab") as file:
        file.write((json.dumps(entry) + "\n").encode())


class SlurmStatus:
    """Reads the status file of a job from its beginning; ``follow`` says which Slurm job counts."""

    note: str
    progress: float
    """The largest fraction that the Slurm job reported."""
    error: BenchError | None
    """The last error that its command reported."""
    exit: int | None
    """The exit status of its command; None while it runs or will be requeued."""
    began: bool
    """True once its command has started."""
    tries: int
    """Starts of the followed jobs since any of them got further than all before."""

    def __init__(self, path: Path) -> None:
        self.tries = 0
        self._new, self._read_at = NewEntries(path), -SECONDS
        self._job_of_pid, self._pid, self._best = "", 0, 0.0
        self.follow("")

    def follow(self, job_id: str) -> None:
        """Counts a Slurm job from now on, in place of the one before."""
        self.progress, self.error, self.exit, self.began = 0.0, None, None, False
        self.note = ""
        self._job_id = job_id

    def read(self, at_once: bool = False) -> None:
        """Reads what is new, at most once a second unless ``at_once``."""
        if not at_once and time.monotonic() - self._read_at < SECONDS:
            return
        self._read_at = time.monotonic()
        for entry in self._new.read():
            slurm = entry.get("slurm")
            if isinstance(slurm, dict):
                self._parse_slurm(slurm, entry.get("pid"))
            elif entry.get("pid") == self._pid:
                self._parse_report(entry)

    def _parse_slurm(self, slurm: dict[str, Any], pid: Any) -> None:
        job_id, code = slurm.get("job"), slurm.get("exit")
        if isinstance(code, int):
            if job_id == self._job_id:
                self.exit = code
        elif isinstance(job_id, str) and isinstance(pid, int):
            self._job_of_pid, self._pid = job_id, pid
            if job_id == self._job_id:
                self.began, self.exit, self.error = True, None, None
                self.tries += 1

    def _parse_report(self, entry: dict[str, Any]) -> None:
        ours = self._job_of_pid == self._job_id
        fraction = entry.get("progress")
        if isinstance(fraction, int | float) and 0 <= fraction <= 1:
            if fraction > self._best:
                self._best = float(fraction)
                self.tries = min(self.tries, 1)
            if ours:
                self.progress, self.note = max(self.progress, float(fraction)), read_note(entry) or self.note
        if ours and (error := parse_error(entry.get("error"))):
            self.error = error
