"""The lock file: what was fetched first is what every later run uses, or an error says what changed."""

from __future__ import annotations

from pathlib import Path

from benchbench.errors import CorruptError
from benchbench.runtime.files import cache_folder
from benchbench.runtime.json_files import read_object, write_json
from benchbench.runtime.locks import locked


def holds(value: str) -> bool:
    """Whether this value was recorded for anything. Errors: CorruptError for a lock file that is damaged."""
    return value in _read().values()


def agree(key: str, value: str) -> None:
    """Records the value the first time and refuses another one later. Errors: CorruptError."""
    path = _path()
    with locked(path.with_suffix(".lock"), print):
        lock = _read()
        if lock.get(key, value) != value:
            raise CorruptError(
                f"{key} has changed since it was first fetched",
                f"recorded {lock[key]}, now {value}",
                f"to accept the change, delete its line in {path}",
            )
        if key not in lock:
            write_json(path, dict(sorted({**lock, key: value}.items())))


def _path() -> Path:
    return cache_folder() / "lock.json"


def _read() -> dict[str, str]:
    path = _path()
    return read_object(path, "delete it; the next fetch records anew") if path.is_file() else {}
