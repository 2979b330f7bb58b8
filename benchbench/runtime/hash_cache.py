"""sha256 of files that are too large to read twice: remembered by path, size and time of change."""

from __future__ import annotations

import json
from pathlib import Path

from benchbench.hub import assets
from benchbench.runtime.files import write_atomic


class Hashes:
    """The hashes remembered in one JSON file; ``save`` writes what is new. A damaged memory is an empty one."""

    def __init__(self, memory: Path) -> None:
        self.memory, self._new = memory, False
        try:
            known = json.loads(memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        self._known: dict[str, list[object]] = known if isinstance(known, dict) else {}

    def __call__(self, path: Path) -> str:
        """64 hexadecimal digits; those of a file of the Hugging Face cache are its name. Errors: OSError."""
        key, stat = str(path.absolute()), path.stat()
        known = self._known.get(key)
        if not (isinstance(known, list) and len(known) == 3 and known[:2] == [stat.st_size, stat.st_mtime_ns]):
            known = [stat.st_size, stat.st_mtime_ns, assets.content_hash(path)]
            self._known[key], self._new = known, True
        return str(known[2])

    def save(self) -> None:
        """Written whole; of two writers the last one's memory stays, which costs time and nothing else."""
        if self._new:
            write_atomic(self.memory, json.dumps(self._known).encode())
            self._new = False
