"""Random access to the rows of a parquet or JSONL file. Reading a row loads one row group or one line."""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchbench.errors import CorruptError, UsageError
from benchbench.pairs.columns import Kind, arrow_kind, json_kind
from benchbench.pairs.dataset import BadRow
from benchbench.runtime.json_files import parse

CACHE_BYTES = 64 * 2**20
"""Bytes of row groups that each parquet file keeps in memory; the latest row group is kept whatever its size."""


class RowFile(Protocol):
    """The rows of one file, numbered from 0."""

    path: Path
    columns: frozenset[str]
    path_columns: frozenset[str]
    """Names of the columns that may name pictures by their paths."""

    def __len__(self) -> int: ...

    def place(self, row: int) -> str:
        """Returns the file name and row, for messages."""

    def row(self, row: int, columns: Sequence[str]) -> dict[str, Any]:
        """Returns the row's values in these columns. Errors: BadRow."""

    def scan(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yields the values of every row in these columns, in order; a missing value is None or absent."""

    def kinds(self, columns: Sequence[str]) -> dict[str, dict[Kind, str]]:
        """Returns by column the kinds of its values, each with its type's own name. Missing values have none."""


def open_rows(path: Path) -> RowFile:
    """Opens a .parquet or .jsonl file. Errors: UsageError (another ending), CorruptError (an unreadable file)."""
    readers: dict[str, type[ParquetRows] | type[JsonlRows]] = {".parquet": ParquetRows, ".jsonl": JsonlRows}
    if path.suffix not in readers:
        raise UsageError(
            f"the pairs in {path} cannot be read",
            f"its name does not end in {' or '.join(readers)}",
            "see docs/pairs.md for the formats",
        )
    try:
        return readers[path.suffix](path)
    except OSError as error:
        raise CorruptError(f"{path} cannot be read", str(error), "check that it is a file that you may read") from error


class ParquetRows:
    """The rows of a parquet file. It is opened for each row group, so that hundreds of shards can be used at once."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        try:
            with pq.ParquetFile(path) as file:
                sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
                self._schema = schema = file.schema_arrow
                self.path_columns = frozenset(
                    field.name for field in schema if _may_name_files(file, field.type, field.name)
                )
        except (OSError, pa.ArrowException) as error:
            raise CorruptError(
                f"{path} is not a readable parquet file", str(error), "fetch or write it again"
            ) from error
        self.columns = frozenset(schema.names)
        if len(self.columns) < len(schema.names):
            names = ", ".join(schema.names)
            raise CorruptError(f"{path} has two columns of one name", names, "rename one of them and write it again")
        self._starts = np.cumsum([0, *sizes])
        self._groups: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def place(self, row: int) -> str:
        """Returns the words that name a row in a message."""
        return f"{self.path.name}, row {row}"

    def row(self, row: int, columns: Sequence[str]) -> dict[str, Any]:
        """Returns a row's values of some columns. Raises BadRow."""
        import pyarrow as pa

        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        try:
            table = self._group(group, columns)
            values: dict[str, Any] = table.slice(row - int(self._starts[group]), 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            raise BadRow(self.place(row), "its text is not UTF-8") from error
        except (OSError, pa.ArrowException) as error:
            raise BadRow(self.place(row), f"its row group cannot be read ({_first_line(error)})") from error
        return values

    def kinds(self, columns: Sequence[str]) -> dict[str, dict[Kind, str]]:
        """Returns the kind of each column, from the file's schema."""
        types = {name: self._schema.field(name).type for name in columns}
        return {name: {arrow_kind(kind): str(kind)} for name, kind in types.items()}

    def scan(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yields every row's values of some columns, in order. Raises CorruptError."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(columns=[c for c in columns if c in self.columns]):
                    yield from batch.to_pylist()
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise CorruptError(
                f"the columns {', '.join(columns)} of {self.path} cannot be read",
                _first_line(error),
                "fetch the file again",
            ) from error

    def _group(self, group: int, columns: Sequence[str]) -> Any:
        import pyarrow.parquet as pq

        with self._lock:
            if group not in self._groups:
                present = [c for c in columns if c in self.columns]
                with pq.ParquetFile(self.path, memory_map=True) as file:
                    self._groups[group] = file.read_row_group(group, columns=present)
            self._groups.move_to_end(group)
            while len(self._groups) > 1 and sum(table.nbytes for table in self._groups.values()) > CACHE_BYTES:
                self._groups.popitem(last=False)
            return self._groups[group]


class JsonlRows:
    """The rows of a JSONL file, one JSON object per line; blank lines at the end are ignored.

    Only the offset of each line is kept in memory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        offsets, offset, count = array("q"), 0, 0
        with path.open("rb") as file:
            for line in file:
                offsets.append(offset)
                offset += len(line)
                count = len(offsets) if line.strip() else count
        self._offsets = offsets[:count]
        self.columns = self.path_columns = frozenset(self._first())

    def __len__(self) -> int:
        return len(self._offsets)

    def place(self, row: int) -> str:
        """Returns the words that name a row in a message."""
        return f"{self.path.name}, line {row + 1}"

    def row(self, row: int, columns: Sequence[str]) -> dict[str, Any]:
        """Returns a row's values of some columns, None where the line lacks one. Raises BadRow."""
        with self.path.open("rb") as file:
            file.seek(self._offsets[row])
            values = self._parse(row, file.readline())
        return {name: values.get(name) for name in columns}

    def scan(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yields every row's values of some columns, in order; a damaged line has none."""
        with self.path.open("rb") as file:
            for row, line in enumerate(islice(file, len(self))):
                try:
                    values = self._parse(row, line)
                except BadRow:
                    values = {}
                yield {name: values.get(name) for name in columns}

    def kinds(self, columns: Sequence[str]) -> dict[str, dict[Kind, str]]:
        """Returns the kinds of each column, after reading every line."""
        kinds: dict[str, dict[Kind, str]] = {name: {} for name in columns}
        for values in self.scan(columns):
            for name, value in values.items():
                if value is not None:
                    kinds[name].setdefault(json_kind(value), f"values such as {value!r:.60}")
        return {name: found or {"nothing": "no value"} for name, found in kinds.items()}

    def _first(self) -> dict[str, Any]:
        try:
            with self.path.open("rb") as file:
                return self._parse(0, file.readline()) if len(self) else {}
        except BadRow as bad:
            raise CorruptError(
                f"{self.path} is not JSONL", str(bad), "write one JSON object per line, see docs/pairs.md"
            ) from bad

    def _parse(self, row: int, line: bytes) -> dict[str, Any]:
        try:
            values = parse(line)
        except ValueError as error:
            raise BadRow(self.place(row), f"it is not JSON ({_first_line(error)})") from error
        if not isinstance(values, dict):
            raise BadRow(self.place(row), "it is not a JSON object")
        return values


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _may_name_files(file: Any, arrow_type: Any, column: str) -> bool:
    """Returns whether a column holds texts, or pictures of which not all have their bytes in the file."""
    kind = arrow_kind(arrow_type)
    if kind != "picture":
        return kind == "text"
    metadata = file.metadata
    for group in range(metadata.num_row_groups):
        chunks = [metadata.row_group(group).column(i) for i in range(metadata.num_columns)]
        of_bytes = next((chunk for chunk in chunks if chunk.path_in_schema == f"{column}.bytes"), None)
        if of_bytes is None or of_bytes.statistics is None or of_bytes.statistics.null_count != 0:
            return True
    return False
