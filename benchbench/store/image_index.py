"""The index of a generation's images: what was checked, with size, times and inode of each file.

It is a cache in one parquet file. Where it is missing, damaged or of an earlier version, the images are checked again.
A link is never in it: its picture lies outside the store, where anybody may change it.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from benchbench.errors import RunError
from benchbench.runtime.files import write_atomic
from benchbench.runtime.locks import locked
from benchbench.store.parts import MARK, ZEROS, check, sealed

FILE = "index.parquet"
STATE = ("size", "mtime_ns", "ctime_ns", "inode")
COLUMNS = ("name", *STATE, "sha256", "blank")
State = tuple[int, int, int, int]
"""Size, both times and inode of a file; the time of the last change cannot be set by a program that copies files."""


class CheckedImage(NamedTuple):
    """A sound image: its pixel hash, and ``black``, ``constant`` or an empty string."""

    sha256: str
    blank: str


Rows = Mapping[str, tuple[State, CheckedImage]]
"""The checks are listed by the name of the file."""


def file_state(file: Path | os.DirEntry[str]) -> State | None:
    """Returns the state of a file; None where there is a link or a folder. Raises OSError for a missing file."""
    found = file.stat(follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def listed(folder: Path) -> dict[str, os.DirEntry[str]]:
    """Returns the entries of a folder by name, none of a missing folder.

    On a network file system one listing also brings the files' states, which would else be a request each.
    """
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry for entry in entries}
    except FileNotFoundError:
        return {}


def read_index(folder: Path) -> dict[str, tuple[State, CheckedImage]]:
    """Returns the rows of a folder's index; none where it is missing or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        data = (folder / FILE).read_bytes()
        check(data)
        table = pq.read_table(io.BytesIO(data))
        columns = {name: table.column(name).to_numpy().tolist() for name in COLUMNS}  # much faster than to_pylist
        images = map(CheckedImage, map(bytes.hex, columns["sha256"]), columns["blank"])
        states = zip(*(columns[name] for name in STATE), strict=True)
        return dict(zip(columns["name"], zip(states, images, strict=True), strict=True))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return {}


def add_to_index(folder: Path, rows: Rows, damaged: set[str]) -> None:
    """Adds rows to a folder's index and takes out the damaged files; where nothing can be written, it does nothing.

    The lock keeps the rows of processes that make images of one generation beside each other. Without it rows would
    be lost, and their images be checked again.
    """
    with suppress(RunError), locked(folder / "index.lock", lambda line: None):
        _write(folder, {name: row for name, row in {**read_index(folder), **rows}.items() if name not in damaged})


def _write(folder: Path, rows: Rows) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = (pa.string(), pa.int64(), pa.int64(), pa.int64(), pa.uint64(), pa.binary(32), pa.string())
    fields = [(name, *state, bytes.fromhex(image.sha256), image.blank) for name, (state, image) in rows.items()]
    columns = zip(*fields, strict=True) if fields else ((),) * len(COLUMNS)
    arrays = [pa.array(list(column), kind) for column, kind in zip(columns, kinds, strict=True)]
    table, data = pa.Table.from_arrays(arrays, COLUMNS), io.BytesIO()
    pq.write_table(table.replace_schema_metadata({b"checksum": MARK + ZEROS}), data)
    write_atomic(folder / FILE, sealed(data.getvalue()))
