"""Lock files between processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchbench.runtime.file_errors import writing
from benchbench.runtime.files import Log


@contextmanager
def locked(path: Path, log: Log) -> Iterator[None]:
    """Holds the lock file ``path`` for the block; waits for another holder, and logs that after a second."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=1)
        except Timeout:
            log(f"another process is working on {path.parent.name}/{path.stem}; waiting for it")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
