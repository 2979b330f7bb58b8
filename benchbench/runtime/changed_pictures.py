"""Counts what was done to pictures on reading, so that a command can say it once, with numbers and names."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence

from benchbench.runtime.pictures import CHANGES

NAMED = 3
"""Pictures that are named for each change; the others are only counted."""


class ChangedPictures:
    """The pictures that were changed, by key of ``CHANGES``. Several threads may add to it."""

    def __init__(self) -> None:
        self._keys: dict[str, set[Hashable]] = {change: set() for change in CHANGES}
        self._names: dict[str, list[str]] = {change: [] for change in CHANGES}
        self._lock = threading.Lock()

    def add(self, changes: Sequence[str], key: Hashable, name: str) -> None:
        """Counts a picture once for each change, however often it is read. ``key`` tells pictures apart."""
        with self._lock:
            for change in changes:
                if key not in self._keys[change]:
                    self._keys[change].add(key)
                    if len(self._names[change]) < NAMED:
                        self._names[change].append(name)

    def lines(self) -> list[str]:
        """Returns a line for each change that was made: how many pictures, and the names of the first."""
        lines = []
        for change, words in CHANGES.items():
            count, names = len(self._keys[change]), self._names[change]
            if count:
                rest = f" and {count - len(names)} more" if count > len(names) else ""
                verb = "picture was" if count == 1 else "pictures were"
                lines.append(f"{count} {verb} {words}: {', '.join(names)}{rest}")
        return lines
