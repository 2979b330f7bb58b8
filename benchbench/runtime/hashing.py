"""The only sha256 of this package: of JSON values, and of files.

A file that others made is read once. Its hash is remembered in the cache folder of the user, under what the file system
says of the file (device, inode, size, both times) and never under a name; a file that changed within the last two
seconds is not remembered.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchbench.errors import RunError
from benchbench.runtime.files import cache_folder
from benchbench.runtime.json_files import find_object, write_json

SETTLED = 2 * 10**9  # nanoseconds: file systems keep times that are coarser than a fast writer


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text. NaN raises ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def text_sha256(text: str) -> str:
    """sha256 of a text in UTF-8, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def bytes_sha256(parts: Iterable[bytes]) -> str:
    """sha256 of the parts as if they were one; 64 hexadecimal digits."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()


def digest(value: Any) -> str:
    """The first 16 hexadecimal digits of the sha256 of the canonical JSON."""
    return text_sha256(canonical(value))[:16]


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, 64 hexadecimal digits; seconds for each GB. Errors: OSError."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def cached_sha256(path: Path) -> str:
    """``file_sha256``, remembered: for large files that others made. Errors: OSError.

    Not for files of a store, which carry their own hash. For many files at a time see ``HashCache``.
    """
    with HashCache() as sha256:
        return sha256(path)


class HashCache:
    """Hashes of files, remembered in the user's cache folder; what is new is written when the ``with`` block ends.

    Of two processes that write at a time the last one's memory stays, which costs time and nothing else.
    """

    def __init__(self) -> None:
        self._known, self._new = _remembered(), dict[str, list[Any]]()

    def __enter__(self) -> HashCache:
        return self

    def __exit__(self, *_: object) -> None:
        if self._new:
            with suppress(RunError):  # a cache folder that cannot be written only costs time
                write_json(_memory(), {**_remembered(), **self._new}, indent=None)

    def __call__(self, path: Path) -> str:
        """sha256 of the file behind ``path``, 64 hexadecimal digits. Errors: OSError."""
        stat = path.stat()
        file, state = f"{stat.st_dev}:{stat.st_ino}", [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        known = self._known.get(file)
        if isinstance(known, list) and len(known) == 4 and known[:3] == state:
            return str(known[3])
        started = time.time_ns()
        found = file_sha256(path)
        if started - max(stat.st_mtime_ns, stat.st_ctime_ns) > SETTLED:
            self._known[file] = self._new[file] = [*state, found]
        return found


def _memory() -> Path:
    return cache_folder() / "hashes.json"


def _remembered() -> dict[str, Any]:
    """What the cache file holds; nothing, where it is damaged."""
    return find_object(_memory()) or {}
