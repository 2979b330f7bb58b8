"""The status file of a job: the job's process appends JSON lines, and the runner reads them.

    {"pid": 71, "progress": 0.25}
    {"pid": 71, "error": {"problem": "...", "cause": "...", "remedy": "...", "code": 5}}

The runner passes the path in $BENCH_STATUS_FILE. The process id distinguishes the lines of this process from those of
earlier attempts and of child processes that inherited the variable.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchbench.errors import BenchError, error_class

VARIABLE = "BENCH_STATUS_FILE"
MAX_LINE = 1 << 16  # bytes; a longer line was not written by this file


def is_job() -> bool:
    """Returns whether a runner started this process and reads its status file."""
    return bool(os.environ.get(VARIABLE))


def report_progress(fraction: float) -> None:
    """Reports the finished fraction of the work, 0 to 1; does nothing outside a job."""
    _append({"progress": round(fraction, 4)})


def report_error(error: BenchError) -> None:
    """Reports the error that is about to end this process; does nothing outside a job."""
    lines = {"problem": error.problem, "cause": error.cause, "remedy": error.remedy}
    _append({"error": {**lines, "code": error.code}})


def _append(entry: dict[str, Any]) -> None:
    if not is_job():
        return
    line = json.dumps({"pid": os.getpid(), **entry}) + "\n"
    with suppress(OSError), Path(os.environ[VARIABLE]).open("ab") as file:  # a full disk must not end the work
        file.write(line.encode())


class StatusReader:
    """Follows what one process writes into a status file; skips the lines of other processes."""

    progress: float
    """The largest reported fraction."""
    error: BenchError | None
    """The last reported error."""

    def __init__(self, path: Path) -> None:
        """Starts at the end of the file: existing lines belong to earlier attempts."""
        self.progress, self.error = 0.0, None
        self._path, self._rest = path, b""
        self._offset = path.stat().st_size if path.exists() else 0

    def read(self, pid: int) -> None:
        """Reads the lines that process ``pid`` has written since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return  # the file does not exist yet
        self._offset += len(data)
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest if len(rest) <= MAX_LINE else b""
        for line in lines:
            if len(line) <= MAX_LINE:
                self._parse(line, pid)

    def _parse(self, line: bytes, pid: int) -> None:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(entry, dict) or entry.get("pid") != pid:
            return
        fraction = entry.get("progress")
        if isinstance(fraction, int | float) and 0 <= fraction <= 1:
            self.progress = max(self.progress, float(fraction))
        if error := parse_error(entry.get("error")):
            self.error = error


def parse_error(entry: Any) -> BenchError | None:
    """Returns the reported error, or None if the entry is not an error."""
    if not isinstance(entry, dict):
        return None
    lines = [entry.get(key) for key in ("problem", "cause", "remedy")]
    code = entry.get("code")
    if not all(isinstance(line, str) for line in lines) or not isinstance(code, int):
        return None
    return error_class(code)(*map(str, lines))
