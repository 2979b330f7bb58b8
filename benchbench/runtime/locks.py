"""Lock files between processes. A folder that cannot be written is read without one: nobody changes it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchbench.runtime.file_errors import writing
from benchbench.runtime.files import Log
from benchbench.runtime.looking import about_to_make

LOCKS = Path("/proc/locks")  # of Linux: who holds which file
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def locked(path: Path, log: Log) -> Iterator[None]:
    """Holds the lock file ``path`` for the block; waits for another holder, and after a second logs for whom.

    In a folder that this user cannot write there is no lock, and whatever the block writes there fails by itself.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    if not path.parent.is_dir():
        about_to_make(f"the folder {path.parent}")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=1)
        except Timeout:
            about_to_make("what another process is working on")
            log(f"another process{holder(path)} is working on {path.parent.name}/{path.stem}; waiting for it")
            lock.acquire()
        except OSError as error:
            if error.errno not in READ_ONLY or _may_write(path.parent):
                raise
    try:
        yield
    finally:
        lock.release()


def holder(path: Path) -> str:
    """Returns `` (71: python -m benchbench train ...)`` of the process that holds a lock; empty where unknown."""
    try:
        inode = str(path.stat().st_ino)
        fields = [line.split() for line in LOCKS.read_text(encoding="utf-8").splitlines()]
        pid = next(f[4] for f in fields if len(f) > 5 and f[1] != "->" and f[5].rpartition(":")[2] == inode)
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (OSError, ValueError, StopIteration):
        return ""
    command = " ".join(" ".join(words).split())  # on one line
    return f" ({pid}: {command if len(command) <= 200 else command[:200] + '...'})"


def _may_write(folder: Path) -> bool:
    """Returns whether this user may make files in a folder, or in the nearest one above that exists."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return os.access(existing, os.W_OK)
