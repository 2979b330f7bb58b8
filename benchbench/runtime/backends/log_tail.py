"""The end of a job's log, for its error."""

from __future__ import annotations

import os
from pathlib import Path

TAIL = 4096  # bytes at the end of a log that are searched for its last line


def last_line(log: Path, start: int = 0) -> str:
    """Returns the last line of a log that is not empty, from byte ``start`` on."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - TAIL))
        lines = file.read().decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")
