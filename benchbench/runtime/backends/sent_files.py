"""Files of a store on their way between two machines that share no folder.

A name is relative to the store, with ``/`` between its parts. What another machine names is checked: it must stay in
the store and match a pattern of the job. A file is whole and has its sha256 before it gets its name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from benchbench.errors import CorruptError
from benchbench.runtime.files import replacing
from benchbench.runtime.hashing import file_sha256

CHUNK = 8 << 20  # bytes that travel at a time
AGAIN = "run the same command again: finished work is kept"
BELOW = "/**"  # ends a pattern that matches everything below a folder
State = tuple[int, int]  # size, and time of the last change in nanoseconds


def find(store: Path, patterns: Sequence[str]) -> dict[str, State]:
    """Returns size and time of the files that match a pattern; no links, locks or hidden files."""
    found: dict[str, State] = {}
    for pattern in patterns:
        below = pattern.endswith(BELOW)
        paths = (store / pattern.removesuffix(BELOW)).rglob("*") if below else store.glob(pattern)
        for path in paths:
            name = path.relative_to(store).as_posix()
            with contextlib.suppress(FileNotFoundError):  # removed by its job a moment ago
                if _travels(name) and path.is_file() and not path.is_symlink():
                    stat = path.stat()
                    found[name] = stat.st_size, stat.st_mtime_ns
    return found


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Returns whether a name matches one of the patterns."""
    parts = name.split("/")
    for pattern in patterns:
        wanted = pattern.removesuffix(BELOW).split("/")
        long_enough = len(parts) > len(wanted) if pattern.endswith(BELOW) else len(parts) == len(wanted)
        if long_enough and all(map(fnmatchcase, parts, wanted)):
            return True
    return False


def place(store: Path, name: str, patterns: Sequence[str]) -> Path:
    """Returns the path of a file that another machine names. Raises CorruptError for a name that it may not use."""
    parts = name.split("/")
    sound = all(part not in ("", "..") and part.isprintable() and "\\" not in part for part in parts)
    if not sound or not _travels(name) or not matches(name, patterns):
        raise CorruptError(
            f"a Ray node named the file {name!r}",
            f"its job reads and makes only {', '.join(patterns)} in the store",
            "check who can reach the cluster; nothing was written",
        )
    return store.joinpath(*parts)


def _travels(name: str) -> bool:
    return not name.endswith(".lock") and not any(part.startswith(".") for part in name.split("/"))


def read_chunk(path: Path, offset: int) -> bytes:
    """Returns at most ``CHUNK`` bytes of a file; none at its end. Raises OSError."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(CHUNK)


class _Dropped(Exception):
    """The rest of a file does not arrive any more."""


class Incoming:
    """A file that arrives in chunks and gets its name once it is whole."""

    def __init__(self, path: Path) -> None:
        self.path, self._exit = path, contextlib.ExitStack()
        self._temporary = self._exit.enter_context(replacing(path))

    def add(self, data: bytes) -> None:
        """Appends a chunk. Raises RunError, as for a full disk."""
        try:
            with self._temporary.open("ab") as file:
                file.write(data)
        except OSError as error:
            self._leave(error)

    def finish(self, sha256: str) -> None:
        """Gives the file its name. Raises CorruptError where its content is not the one that was sent."""
        if file_sha256(self._temporary) != sha256:
            cause = "it arrived with another sha256 than it was sent with, or it changed on the way"
            self._leave(CorruptError(f"{self.path} did not arrive whole", cause, AGAIN))
        self._exit.close()

    def drop(self) -> None:
        """Forgets the file: what has its name stays as it is."""
        with contextlib.suppress(_Dropped):
            self._leave(_Dropped())

    def _leave(self, error: Exception) -> None:
        """Removes the temporary file and raises the error; one of the file system as a RunError."""
        with self._exit:
            raise error


def remove(store: Path, name: str, patterns: Sequence[str]) -> None:
    """Removes a file that its job removed elsewhere, and the folders that it leaves empty. Raises CorruptError."""
    path = place(store, name, patterns)
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # the first folder that is not empty
        for folder in path.parents[: name.count("/")]:
            folder.rmdir()
