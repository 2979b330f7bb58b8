"""The bytes of a picture's file, without Pillow."""

from __future__ import annotations

import stat
from pathlib import Path

MAX_BYTES = 2**29
"""Bytes of a picture's file."""


def read_bytes(path: Path) -> bytes:
    """Returns the content of a picture's file. Errors: OSError, also for what is no regular file or is too large."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is not a regular file")
    if status.st_size > MAX_BYTES:
        raise OSError(f"the file has {status.st_size} bytes; at most {MAX_BYTES} are read")
    return path.read_bytes()
