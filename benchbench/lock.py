"""The lock file: what was fetched first is what every later run uses, or an error says what changed."""

from __future__ import annotations

import json

from benchbench.errors import CorruptError
from benchbench.store.files import locked, write_atomic


def agree(key: str, value: str) -> None:
    """Records the value the first time and refuses another one later. Errors: CorruptError."""
    from benchbench import prompts

    path = prompts.cache_folder() / "lock.json"
    with locked(path.with_suffix(".lock"), print):
        try:
            lock = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except ValueError as error:
            raise CorruptError(f"{path} is damaged", str(error), "delete it; the next fetch records anew") from error
        if lock.get(key, value) != value:
            raise CorruptError(
                f"{key} has changed since it was first fetched",
                f"recorded {lock[key]}, now {value}",
                f"to accept the change, delete its line in {path}",
            )
        if key not in lock:
            write_atomic(path, (json.dumps({**lock, key: value}, indent=1, sort_keys=True) + "\n").encode())
