"""The status file of a job: JSON lines that the job's process appends and that the runner reads.

    {"pid": 71, "progress": 0.25}
    {"pid": 71, "error": {"problem": "...", "cause": "...", "remedy": "...", "code": 5}}

The runner names the file in $BENCH_STATUS_FILE. The process id tells the lines of one process from those of another
that does the same job, or that inherited the variable.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchbench.errors import BenchError, error_class

VARIABLE = "BENCH_STATUS_FILE"
LONGEST = 1 << 16  # bytes of a line; what is longer was not written by us


def is_job() -> bool:
    """Returns whether a runner started this process and reads its status file."""
    return bool(os.environ.get(VARIABLE))


def report_progress(fraction: float) -> None:
    """Tells the runner, if there is one, how much of the work is done (0 to 1)."""
    _append({"progress": round(fraction, 4)})


def report_error(error: BenchError) -> None:
    """Tells the runner, if there is one, why this process is about to fail."""
    lines = {"problem": error.problem, "cause": error.cause, "remedy": error.remedy}
    _append({"error": {**lines, "code": error.code}})


def _append(entry: dict[str, Any]) -> None:
    if not is_job():
        return
    line = json.dumps({"pid": os.getpid(), **entry}) + "\n"
    with suppress(OSError), Path(os.environ[VARIABLE]).open("ab") as file:  # a full disk must not end the work
        file.write(line.encode())


class StatusReader:
    """Follows what one process writes into a status file; lines that are not ours are skipped."""

    progress: float
    """The largest fraction that was reported."""
    error: BenchError | None
    """The last error that was reported."""

    def __init__(self, path: Path) -> None:
        """Begins at the file's present end: what is there already is of earlier attempts."""
        self.progress, self.error = 0.0, None
        self._path, self._rest = path, b""
        self._offset = path.stat().st_size if path.exists() else 0

    def read(self, pid: int) -> None:
        """Takes in what process ``pid`` has written since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return  # nothing has been written yet
        self._offset += len(data)
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest if len(rest) <= LONGEST else b""
        for line in lines:
            if len(line) <= LONGEST:
                self._take(line, pid)

    def _take(self, line: bytes, pid: int) -> None:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(entry, dict) or entry.get("pid") != pid:
            return
        fraction = entry.get("progress")
        if isinstance(fraction, int | float) and 0 <= fraction <= 1:
            self.progress = max(self.progress, float(fraction))
        if error := _error(entry.get("error")):
            self.error = error


def _error(told: Any) -> BenchError | None:
    """Returns a reported error, or None for what is not one."""
    if not isinstance(told, dict):
        return None
    lines = [told.get(key) for key in ("problem", "cause", "remedy")]
    code = told.get("code")
    if not all(isinstance(line, str) for line in lines) or not isinstance(code, int):
        return None
    return error_class(code)(*map(str, lines))
