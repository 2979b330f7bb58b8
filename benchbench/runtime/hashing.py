"""The only sha256 of this package: of JSON values and of files.

Large files are hashed once. Their hashes are cached in the user's cache folder, under device, inode, size and both
times of the file and never under its name; a file that changed within the last two seconds is not cached. Each
entry carries a checksum of itself.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchbench.errors import RunError
from benchbench.runtime.files import cache_folder
from benchbench.runtime.json_files import find_object, write_json

SETTLED = 2 * 10**9  # nanoseconds; the times of a file system are too coarse to tell two fast writes apart


_shared: list[HashCache] = []  # those of the open blocks of ``one_hash_cache``


def canonical(value: Any) -> str:
    """Returns JSON with sorted keys and no spaces: equal values give equal text. Raises ValueError for NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def text_sha256(text: str) -> str:
    """Returns the sha256 of a text in UTF-8, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def bytes_sha256(parts: Iterable[bytes]) -> str:
    """Returns the sha256 of the joined parts, 64 hexadecimal digits."""
    sha256 = hashlib.sha256()
    for part in parts:
        sha256.update(part)
    return sha256.hexdigest()


def digest(value: Any) -> str:
    """Returns the first 16 hexadecimal digits of the sha256 of the canonical JSON."""
    return text_sha256(canonical(value))[:16]


def file_sha256(path: Path) -> str:
    """Returns the sha256 of a file, 64 hexadecimal digits; takes seconds per GB. Raises OSError."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def cached_sha256(path: Path) -> str:
    """Returns ``file_sha256`` from the cache where it is there, for large files such as weights. Raises OSError.

    Files of a store carry their own hash. ``HashCache`` is faster for many files.
    """
    if _shared:
        return _shared[-1](path)
    with HashCache() as sha256:
        return sha256(path)


@contextmanager
def one_hash_cache(trusted: bool = True) -> Iterator[None]:
    """Within the block ``cached_sha256`` reads the cache once, and writes it once at the end: for many small files.

    Where the cache is not trusted, every file is hashed once, and the cache is corrected. Within another such block, of
    the same trust, it is that block's.
    """
    if _shared and _shared[-1].trusted == trusted:
        yield
        return
    with HashCache(trusted) as cache:
        _shared.append(cache)
        try:
            yield
        finally:
            _shared.remove(cache)


class HashCache:
    """Hashes of files, cached in the user's cache folder; new hashes are written when the ``with`` block ends.

    If two processes write at the same time, the hashes of one are lost and computed again later.
    """

    def __init__(self, trusted: bool = True) -> None:
        self.trusted = trusted
        self._known, self._new = _read_cache() if trusted else {}, dict[str, list[Any]]()

    def __enter__(self) -> HashCache:
        return self

    def __exit__(self, *_: object) -> None:
        if self._new:
            with suppress(RunError):  # where the cache cannot be written, files are hashed again
                write_json(_cache_file(), {**_read_cache(), **self._new}, indent=None)

    def __call__(self, path: Path) -> str:
        """Returns the sha256 of the file that ``path`` points to, 64 hexadecimal digits. Raises OSError."""
        stat = path.stat()
        file, state = f"{stat.st_dev}:{stat.st_ino}", [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        known = self._known.get(file)
        if isinstance(known, list) and known[:3] == state and known[4:] == [_entry_checksum(file, known[:4])]:
            return str(known[3])
        started = time.time_ns()
        sha256 = file_sha256(path)
        if started - max(stat.st_mtime_ns, stat.st_ctime_ns) > SETTLED:
            entry = [*state, sha256]
            self._known[file] = self._new[file] = [*entry, _entry_checksum(file, entry)]
        return sha256


def _entry_checksum(file: str, entry: list[Any]) -> str:
    return digest([file, *entry])


def _cache_file() -> Path:
    return cache_folder() / "hashes.json"


def _read_cache() -> dict[str, Any]:
    """Returns the cached entries; none where the file is missing or damaged."""
    return find_object(_cache_file()) or {}
