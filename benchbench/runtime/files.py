"""Files and folders that appear whole or not at all. Nothing else in this package renames a file into its place.

What is on disk at each instant: the old file or the new one, and, after a kill, perhaps a ``.name.*.tmp`` beside it,
which nobody reads and the next writer's ``sweep`` removes. There is no fsync: a file that a power cut tore is found by
its hash or by its parser and made again.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchbench.runtime.file_errors import writing

Log = Callable[[str], None]


def cache_folder() -> Path:
    """Returns the folder of what is fetched or remembered: $BENCH_CACHE, else a folder in the user's cache."""
    own = os.environ.get("BENCH_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "benchbench"


def write_atomic(path: Path, data: bytes) -> None:
    """Writes the bytes under a temporary name and renames. Errors: RunError, with nothing half-written left behind."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path for a library to write a file to; the file takes the name ``path`` when the block ends.

    The folder is made. The file's mode follows the umask, whatever mode the library gives it. After an error in the
    block ``path`` is what it was and the temporary file is gone; errors of the file system become a RunError.
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
    """Yields an empty temporary folder to fill, which takes the name ``path`` when the block ends; as ``replacing``.

    A folder of that name goes aside first, since no folder can be renamed over another. A kill between the two
    renames leaves neither.
    """
    temporary, old = _beside(path), _beside(path, "old-")
    with writing(path):
        try:
            _remove(temporary)  # of a killed process that had our number
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
    """Removes what killed writers of these files or folders left; call it under their lock."""
    for left in folder.glob(f".{name}.*.tmp"):
        _remove(left)


def _beside(path: Path, word: str = "") -> Path:
    """A hidden name in the folder of ``path``, of this thread alone."""
    return path.parent / f".{path.name}.{word}{os.getpid()}-{threading.get_ident()}.tmp"


def _swap(temporary: Path, path: Path, old: Path) -> None:
    """Gives the new folder its name; where that fails the old one keeps it."""
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
    """safetensors makes its files readable for their owner alone."""
    if file.stat().st_mode & 0o777 != mode:
        file.chmod(mode)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
