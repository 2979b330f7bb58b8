"""File-system errors as errors for users: which path could not be written, and how full the disk is."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchbench.errors import BenchError, RunError, UsageError

DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
NAMES = {
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ENOTDIR: "one of its folders is a file: name another path",
    errno.EISDIR: "it is a folder: name a file",
    errno.ELOOP: "its links lead in a circle: name another path",
}
"""The errors that come from the words of a user, with what is wrong and the remedy."""
SHOWN = 160  # characters of a path in a message


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a file-system error in the block into a RunError with the path and, on a full disk, the free space."""
    try:
        yield
    except Exception as error:
        number = _error_number(error)
        if number is None:
            raise
        if number in DISK_FULL:
            raise RunError(
                f"the disk is full: {path} could not be written",
                _free_space(path),
                "free some space and run the same command",
            ) from error
        raise RunError(
            f"{path} could not be written",
            os.strerror(number) if number else str(error),
            "choose another folder with --store or --out",
        ) from error


def explained(error: OSError) -> BenchError | None:
    """Returns a file-system error as an error for users: which path, what is wrong with it, and what helps.

    None for an error that names neither a file nor a full disk.
    """
    if error.errno in DISK_FULL:
        return RunError("the disk is full", str(error), "free some space and run the same command")
    if error.errno is None or not error.filename:
        return None
    path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    shown, why = path if len(path) <= SHOWN else f"{path[:SHOWN]}...", os.strerror(error.errno)
    if error.errno in NAMES:
        return UsageError(f"{shown} cannot be used as a file or folder", why, NAMES[error.errno])
    remedy = "check that the path is right and that you may read and write there, then run the same command"
    return RunError(f"{shown} could not be read or written", why, remedy)


def _error_number(error: Exception) -> int | None:
    """Returns errno of a file-system error (0: unknown), or None; safetensors names it in its message only."""
    if isinstance(error, OSError):
        return error.errno or 0
    match = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__name__ == "SafetensorError" else None
    return int(match[1]) if match else None


def _free_space(path: Path) -> str:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    return f"{shutil.disk_usage(folder).free / 1e6:.1f} MB are free in {folder}"
