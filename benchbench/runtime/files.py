"""Writes files and folders atomically. Nothing else in this package renames a file into its place.

At each instant the disk holds the old file or the new one. A killed writer may leave a ``.name.*.tmp`` beside it, which
is never read and which ``sweep`` of the next writer removes. There is no fsync: a file that a power failure truncated
is detected by its hash or its parser and made again.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchbench.runtime.file_errors import writing

Log = Callable[[str], None]


def cache_folder() -> Path:
    """Returns the folder of fetched files and cached hashes: $BENCH_CACHE, else a folder in the user's cache."""
    folder = os.environ.get("BENCH_CACHE")
    if folder:
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "benchbench"


def write_atomic(path: Path, data: bytes) -> None:
    """Writes the bytes under a temporary name and renames the file. Raises RunError, and leaves no partial file."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write a file to; the file is renamed to ``path`` when the block ends.

    Creates the folder. The mode of the file follows the umask, whatever the writing library sets. After an error in
    the block ``path`` is unchanged and the temporary file is deleted. Raises RunError for file-system errors.
    """
    temporary = _beside(path)
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch()
            mode = temporary.stat().st_mode & 0o777
            yield temporary
            _set_mode(temporary, mode)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yields an empty temporary folder to fill, renamed to ``path`` when the block ends; errors as for ``replacing``.

    An existing folder is renamed first, since a folder cannot replace another. After a kill between the two renames
    ``path`` does not exist.
    """
    temporary, old = _beside(path), _beside(path, "old-")
    with writing(path):
        try:
            _remove(temporary)  # left by a killed process that had the same id
            temporary.mkdir(parents=True)
            mode = temporary.stat().st_mode & 0o666
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file() and not file.is_symlink():
                    _set_mode(file, mode)
            _swap(temporary, path, old)
        finally:
            _remove(temporary)
            _remove(old)


def sweep(folder: Path, name: str = "*") -> None:
    """Removes the temporary files and folders of killed writers; call it under the lock of ``name``."""
    for temporary in folder.glob(f".{name}.*.tmp"):
        with suppress(OSError):  # of another user, or on a read-only disk
            _remove(temporary)


def _beside(path: Path, word: str = "") -> Path:
    """Returns a hidden name beside ``path`` that only this thread uses."""
    return path.parent / f".{path.name}.{word}{os.getpid()}-{threading.get_ident()}.tmp"


def _swap(temporary: Path, path: Path, old: Path) -> None:
    """Renames ``temporary`` to ``path``; where that fails, the old folder keeps its name."""
    if not path.exists():
        os.replace(temporary, path)
        return
    os.replace(path, old)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(old, path)
        raise


def _set_mode(file: Path, mode: int) -> None:
    """Sets the mode of a file: safetensors makes its files readable by the owner only."""
    if file.stat().st_mode & 0o777 != mode:
        file.chmod(mode)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
