"""Files that appear whole or not at all, and locks between processes.

What is on disk at each instant: the old file or the new one, and, after a kill, perhaps a ``.name.*.tmp`` beside it,
which nobody reads and the next writer's ``sweep`` removes. There is no fsync: a file that a power cut tore is found by
its hash or by its parser and made again.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchbench.errors import RunError

Say = Callable[[str], None]
FULL = {errno.ENOSPC, errno.EDQUOT}


def cache_folder() -> Path:
    """Returns the folder of what is fetched or remembered: $BENCH_CACHE, else a folder in the user's cache."""
    own = os.environ.get("BENCH_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "benchbench"


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
            f"{path} could not be written", os.strerror(number), "choose another folder with --store or --out"
        ) from error


def _errno(error: Exception) -> int | None:
    """The system's error number behind an exception; safetensors names it in its message only."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__name__ == "SafetensorError" else None
    return int(found[1]) if found else None


def _free(path: Path) -> str:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    return f"{shutil.disk_usage(folder).free / 1e6:.1f} MB are free in {folder}"


def write_atomic(path: Path, data: bytes) -> None:
    """Writes to a temporary name and renames. Errors: RunError, with nothing half-written left behind."""
    temporary = path.parent / f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp"
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def sweep(folder: Path, name: str = "*") -> None:
    """Removes what killed writers of these files left; call it under the files' lock."""
    for left in folder.glob(f".{name}.*.tmp"):
        left.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, say: Say) -> Iterator[None]:
    """Holds the lock file ``path``; waits where another process has it, and says so after a second."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=1)
        except Timeout:
            say(f"another process is working on {path.parent.name}/{path.stem}; waiting for it")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
