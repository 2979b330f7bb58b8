"""The last attempt at a job, read from its status file by a process that did not start it, as `bench status`."""

from __future__ import annotations

import fcntl
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchbench.errors import BenchError
from benchbench.runtime.status import MAX_LINE, SIGN_EVERY, parse_error

State = Literal["done", "running", "failed", "stopped", "left"]
SILENCE = 3 * SIGN_EVERY  # seconds without a sign of life after which a process on another machine counts as gone


@dataclass(frozen=True)
class LastAttempt:
    """The last attempt at a job. ``left`` is a job that nobody has started; ``stopped`` one that was killed."""

    state: State = "left"
    progress: float = 0.0
    where: str = ""
    """The process, or what its backend says; empty where nothing is known."""
    error: BenchError | None = None


def last_attempt(status: Path) -> LastAttempt:
    """Returns the last attempt that a status file tells of.

    A running process holds a lock on the file, which a kill releases; a process on another machine is believed to run
    while its signs of life are recent.
    """
    entries = list(_entries(status))
    if not entries:
        return LastAttempt()
    starts = [i for i, entry in enumerate(entries) if isinstance(entry.get("host"), str)]
    first = entries[starts[-1]] if starts else {}
    since = entries[starts[-1] if starts else 0 :]
    own = [e for e in since if not first or e.get("pid") == first.get("pid")]
    fractions = [e["progress"] for e in own if isinstance(e.get("progress"), int | float) and 0 <= e["progress"] <= 1]
    errors = [error for e in own if (error := parse_error(e.get("error")))]
    progress, where = max(fractions, default=0.0), _where(first)
    if any(e.get("done") is True for e in since):  # of the attempt, or of a process that later found it complete
        return LastAttempt("done", 1.0, where)
    if first and _lives(status, str(first["host"])):
        return LastAttempt("running", 0.99 * progress, where)  # one part may be complete and others still to come
    if errors:
        return LastAttempt("failed", progress, where, errors[-1])
    return LastAttempt("stopped", progress, where)


def _entries(status: Path) -> Iterator[dict[str, Any]]:
    """Yields the whole lines of a status file that are JSON objects."""
    try:
        data = status.read_bytes()
    except OSError:
        return
    for line in data.split(b"\n")[:-1]:
        if len(line) <= MAX_LINE:
            with suppress(ValueError, RecursionError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    yield entry


def _where(start: dict[str, Any]) -> str:
    """Returns what the backend said of an attempt, else its process and, where that is another one, its machine."""
    if not start:
        return ""
    elsewhere = "" if start["host"] == socket.gethostname() else f" on {start['host']}"
    return f"{start.get('where') or 'process ' + str(start.get('pid'))}{elsewhere}"


def _lives(status: Path, host: str) -> bool:
    try:
        with status.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        pass
    return host != socket.gethostname() and time.time() - status.stat().st_mtime < SILENCE
