"""The end of a job's log, for its error."""

from __future__ import annotations

import os
from pathlib import Path

TAIL = 4096  # bytes at the end of a log that are searched for its last line


def last_line(log: Path, start: int = 0, skipped: tuple[str, ...] = ()) -> str:
    """Returns the last line of a log, from byte ``start`` on, that is not empty and does not begin with ``skipped``."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - TAIL))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line and not line.startswith(skipped)), "it printed nothing")
