"""Shows every run of a store, with an index that saves reading files that have not changed.

    runs/index.json     by folder: the shown fields, and size, times and inode of each file that decided them

The index is a cache. A row counts while all these files are as they were, and ``read`` decides everything else. Runs
that are damaged or reached by a link, and those that changed within the last two seconds, are read each time.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchbench.errors import BenchError, RunError
from benchbench.hub import weights
from benchbench.runtime.hashing import SETTLED, one_hash_cache
from benchbench.runtime.progress import progress
from benchbench.runtime.sealed import find_sealed, write_sealed
from benchbench.store import metrics
from benchbench.store.run_file import DONE, RUN
from benchbench.store.runs import State, folders, read

INDEX = "index.json"
MANY = 200  # runs that are read with a progress bar


class ShownRun(NamedTuple):
    """A run as commands list it. Of a damaged run every setting is ``?``."""

    id: str
    path: Path
    state: State
    planned: Any
    """The samples that it was planned with."""
    seen: Any
    """The samples of its last line of metrics."""
    method: Any
    model: Any
    reward: Any
    seed: Any
    changed: int
    """The time at which its settings, its metrics or its end were written last, in seconds since 1970."""


def shown_runs(store: Path) -> list[ShownRun]:
    """Returns every run of a store, sorted by folder name."""
    index = find_sealed(store / "runs" / INDEX) or {}
    found = {folder.name: (folder, _from_index(folder, index.get(folder.name))) for folder in folders(store)}
    unread = [folder for folder, shown in found.values() if shown is None]
    rows = {name: index[name] for name, (_, shown) in found.items() if shown}
    read_now: dict[str, ShownRun] = {}
    if unread:
        with one_hash_cache(), progress(len(unread), "reading runs", "runs", silent=len(unread) < MANY) as bar:
            for folder in unread:
                read_now[folder.name], row = _read(folder)
                rows |= {folder.name: row} if row else {}
                bar.advance()
    if rows != index:
        with suppress(RunError):  # a store that can only be read
            write_sealed(store / "runs" / INDEX, rows, indent=None)
    return [shown or read_now[name] for name, (_, shown) in found.items()]


def _from_index(folder: Path, row: Any) -> ShownRun | None:
    """Returns a run as its row says, or None if there is no row or a file is not as it was."""
    try:
        name, state, *shown, files = row
        if all(_file_state(f"{folder}/{file}") == expected for file, expected in files.items()):
            return ShownRun(name, folder, state, *shown)
    except (OSError, TypeError, ValueError, AttributeError):
        pass  # no row, a row of another version, or a file that is gone
    return None


def _read(folder: Path) -> tuple[ShownRun, list[Any] | None]:
    """Returns a run and its row for the index; no row for a run that must be read each time."""
    files = _deciding_files(folder)  # before the content is read: what changes in between is read again next time
    run = read(folder)
    seen = metrics.last_metrics(folder).get("samples", 0)
    settings = run.config.get("config", {})
    planned, method, model, reward, seed = (
        settings.get(name, "?") for name in ("samples", "method", "model", "reward", "seed")
    )
    shown = ShownRun(run.id, folder, run.state, planned, seen, method, model, reward, seed, _last_change(folder))
    if files is None or run.state == "damaged":
        return shown, None
    return shown, [shown.id, *shown[2:], files]


def _last_change(folder: Path) -> int:
    times = [0.0]
    for name in (RUN, DONE, metrics.FILE):
        with suppress(OSError):
            times.append((folder / name).stat().st_mtime)
    return int(max(times))


def _deciding_files(folder: Path) -> Mapping[str, list[int]] | None:
    """Returns the states of a run's folder and of the files that decide what is shown; None if they must be read.

    A file that appears, or goes, changes the state of its folder.
    """
    paths = [folder, *(path for name in (RUN, DONE, metrics.FILE) if (path := folder / name).exists())]
    try:
        found = weights.find(folder)
        if found and found.kind == "unet":
            paths += [found.path, found.path / "config.json"]
        elif found and found.kind != "lora":
            return None
        paths += found.files if found else []
        states = {os.path.relpath(path, folder): _file_state(str(path)) for path in paths}
    except (BenchError, OSError, ValueError):
        return None
    changed = max(max(state[1:3]) for state in states.values())
    return states if time.time_ns() - changed > SETTLED else None


def _file_state(path: str) -> list[int]:
    """Returns size, times and inode. Raises OSError for a missing file, ValueError for a link."""
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        raise ValueError("it lies elsewhere")
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
