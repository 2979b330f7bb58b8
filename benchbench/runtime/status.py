"""The status file of a job: the job's process appends JSON lines, and the runner and `bench status` read them.

    {"pid": 71, "host": "node3", "where": "slurm 1234"}
    {"pid": 71, "progress": 0.25, "note": "reward 16.9"}
    {"pid": 71, "error": {"problem": "...", "cause": "...", "remedy": "...", "code": 5}}
    {"pid": 71, "done": true}

The first line of each attempt says where it runs; ``where`` is what the backend wrote into $BENCH_WHERE, or empty. The
runner passes the path in $BENCH_STATUS_FILE. The process id distinguishes the lines of this process from those of
earlier attempts and of child processes that inherited the variable. runtime/attempts.py reads the last attempt.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from benchbench.errors import BenchError, error_class

VARIABLE = "BENCH_STATUS_FILE"
WHERE = "BENCH_WHERE"
"""The variable in which a backend says where a job runs, as ``slurm 1234``."""
STARTED = "BENCH_STATUS_STARTED"
"""The process that is the job, and its status file; a child process that inherits both variables is not the job."""
SIGN_EVERY = 30.0  # seconds between two signs of life
MAX_LINE = 1 << 16  # bytes; a longer line was not written by this file


def is_job() -> bool:
    """Returns whether a runner started this process and reads its status file."""
    return bool(os.environ.get(VARIABLE))


def report_start() -> None:
    """Reports where this process runs, and from now on that it lives; does nothing outside a job."""
    if not is_job() or os.environ.get(STARTED, "").partition(" ")[2] == os.environ[VARIABLE]:
        return
    os.environ[STARTED] = _myself()
    _append({"host": socket.gethostname(), "where": os.environ.get(WHERE, "")})
    _show_life(Path(os.environ[VARIABLE]))


def report_done() -> None:
    """Reports that the job has succeeded; does nothing outside a job."""
    if os.environ.get(STARTED) == _myself():
        _append({"done": True})


def record_done(path: Path) -> None:
    """Writes into the status file of a job that its work was found complete, unless its last line says so."""
    with suppress(OSError):  # a store that cannot be written
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_LINE))
            if not file.read().rstrip().endswith(b'"done": true}'):
                file.write(_line({"done": True}))


def report_progress(fraction: float, note: str = "") -> None:
    """Reports the finished fraction of the work, 0 to 1; does nothing outside a job.

    ``note`` is what is known so far, as ``reward 16.9``.
    """
    _append({"progress": round(fraction, 4), **({"note": note} if note else {})})


def report_error(error: BenchError) -> None:
    """Reports the error that is about to end this process; does nothing outside a job."""
    lines = {"problem": error.problem, "cause": error.cause, "remedy": error.remedy}
    _append({"error": {**lines, "code": error.code}})


def _append(entry: dict[str, Any]) -> None:
    if not is_job():
        return
    with suppress(OSError), Path(os.environ[VARIABLE]).open("ab") as file:  # a full disk must not end the work
        file.write(_line(entry))


def _line(entry: dict[str, Any]) -> bytes:
    return (json.dumps({"pid": os.getpid(), **entry}) + "\n").encode()


def _myself() -> str:
    return f"{os.getpid()} {os.environ.get(VARIABLE)}"


def _show_life(path: Path) -> None:
    """Locks the status file until this process ends, however it ends, and sets its time twice a minute.

    The time is for readers on other machines, where the file system may not show locks.
    """
    with suppress(OSError):
        file = path.open("a+b")
        fcntl.flock(file, fcntl.LOCK_SH)  # shared: another command may run the same job
        threading.Thread(target=_sign, args=(file,), name="signs of life", daemon=True).start()


def _sign(file: IO[bytes]) -> None:
    while True:
        time.sleep(SIGN_EVERY)
        with suppress(OSError):
            os.utime(file.fileno())


class NewEntries:
    """Reads the JSON objects that processes append to a status file."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path, self._offset, self._rest = path, offset, b""

    def read(self) -> list[dict[str, Any]]:
        """Returns what was appended since the last call; skips lines that were not written by this file."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []  # the file does not exist yet
        self._offset += len(data)
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest if len(rest) <= MAX_LINE else b""
        found = []
        for line in lines:
            with suppress(ValueError, RecursionError):
                entry = json.loads(line) if len(line) <= MAX_LINE else None
                found += [entry] if isinstance(entry, dict) else []
        return found


class StatusReader:
    """Follows what one process writes into a status file; skips the lines of other processes."""

    progress: float
    """The largest reported fraction."""
    note: str
    """The last note beside it."""
    error: BenchError | None
    """The last reported error."""

    def __init__(self, path: Path) -> None:
        """Starts at the end of the file: existing lines belong to earlier attempts."""
        self.progress, self.note, self.error = 0.0, "", None
        self._new = NewEntries(path, path.stat().st_size if path.exists() else 0)

    def read(self, pid: int) -> None:
        """Reads the lines that process ``pid`` has written since the last call."""
        for entry in self._new.read():
            if entry.get("pid") == pid:
                self._take(entry)

    def _take(self, entry: dict[str, Any]) -> None:
        fraction = entry.get("progress")
        if isinstance(fraction, int | float) and 0 <= fraction <= 1:
            self.progress = max(self.progress, float(fraction))
        self.note = read_note(entry) or self.note
        if error := parse_error(entry.get("error")):
            self.error = error


def read_note(entry: dict[str, Any]) -> str:
    """Returns the note in an entry, at most 80 characters; empty where there is none."""
    note = entry.get("note")
    return note[:80] if isinstance(note, str) else ""


def parse_error(entry: Any) -> BenchError | None:
    """Returns the reported error, or None if the entry is not an error."""
    if not isinstance(entry, dict):
        return None
    lines = [entry.get(key) for key in ("problem", "cause", "remedy")]
    code = entry.get("code")
    if not all(isinstance(line, str) for line in lines) or not isinstance(code, int):
        return None
    return error_class(code)(*map(str, lines))
