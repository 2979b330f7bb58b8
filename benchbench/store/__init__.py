"""The store of images, scores, measurements and runs. Content decides names, so nothing is made twice."""

from __future__ import annotations

import os
from pathlib import Path

from benchbench.errors import UsageError

DEFAULT = "bench-store"


def root(path: str | Path | None = None) -> Path:
    """Returns the store's folder: ``path`` if given, else $BENCH_HOME, else ./bench-store."""
    return Path(path or os.environ.get("BENCH_HOME") or DEFAULT).expanduser()


def existing_root(path: str | Path | None = None) -> Path:
    """Returns the store's folder for a command that only reads. Raises UsageError for a ``path`` that is not there.

    A default store that is not there yet is returned: nothing has been made.
    """
    folder = root(path)
    if path and not folder.is_dir():
        raise UsageError(
            f"there is no store {folder}",
            "--store names it, and there is no such folder",
            "check the path; the first command that makes something, such as bench train, creates a store",
        )
    return folder
