"""Errors of the file system as words: which path could not be written, and how full the disk is."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchbench.errors import RunError

FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an error of the file system into a RunError that names the path, and the free space on a full disk."""
    try:
        yield
    except Exception as error:
        number = _errno(error)
        if number is None:
            raise
        if number in FULL:
            raise RunError(
                f"the disk is full: {path} could not be written",
                _free(path),
                "free some space and run the same command",
            ) from error
        raise RunError(
            f"{path} could not be written",
            os.strerror(number) if number else str(error),
            "choose another folder with --store or --out",
        ) from error


def _errno(error: Exception) -> int | None:
    """The system's error number behind an exception, 0 where it has none; safetensors names it in its message only."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__name__ == "SafetensorError" else None
    return int(found[1]) if found else None


def _free(path: Path) -> str:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    return f"{shutil.disk_usage(folder).free / 1e6:.1f} MB are free in {folder}"
