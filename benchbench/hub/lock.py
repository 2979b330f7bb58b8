"""The lock file: it records hashes and revisions at first use, and a later change of one is an error."""

from __future__ import annotations

from pathlib import Path

from benchbench.errors import CorruptError
from benchbench.runtime.files import cache_folder
from benchbench.runtime.hashing import cached_sha256
from benchbench.runtime.json_files import read_object, write_json
from benchbench.runtime.locks import locked


def is_pinned(value: str) -> bool:
    """Returns whether this value was recorded under any key. Raises CorruptError for a damaged lock file."""
    return value in _read().values()


def refuse_unknown_pickle(file: Path) -> None:
    """Raises CorruptError for a pickle that ``bench fetch`` did not record; any other file passes."""
    if file.suffix == ".bin" and not is_pinned(cached_sha256(file)):
        raise CorruptError(
            f"{file} is a pickle of unknown origin",
            "bench fetch did not record its sha256, and a pickle can run code",
            "convert it to safetensors, or fetch it: bench fetch",
        )


def pinned(key: str) -> str | None:
    """Returns the value that was recorded under a key, or None. Raises CorruptError for a damaged lock file."""
    return _read().get(key)


def pin(key: str, value: str) -> None:
    """Records the value at the first call; raises CorruptError where a later call has a different value."""
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
    return read_object(path, "delete it; the next fetch writes a new one") if path.is_file() else {}
