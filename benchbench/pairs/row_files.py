"""Random access to the rows of one parquet or JSONL file, reading no more of it than a row group or a line."""

from __future__ import annotations

import json
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchbench.errors import CorruptError, UsageError
from benchbench.pairs.dataset import BadRow

CACHED = 64 * 2**20
"""Bytes of row groups that a file keeps, besides the one that was asked for last."""


class Table(Protocol):
    """Rows of one file, by number from 0."""

    path: Path
    columns: frozenset[str]
    texts: frozenset[str]
    """Columns that may hold text."""

    def __len__(self) -> int: ...

    def place(self, row: int) -> str:
        """Where the row is, for people."""

    def row(self, row: int, columns: Sequence[str]) -> dict[str, Any]:
        """The row's values. Errors: BadRow."""

    def scan(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Every row's values in order, None where there is none; nothing of the other columns is read."""


def open_table(path: Path) -> Table:
    """The file's table, by the ending of its name. Errors: UsageError, CorruptError (damaged as a whole)."""
    kinds: dict[str, type[Parquet] | type[Lines]] = {".parquet": Parquet, ".jsonl": Lines}
    if path.suffix not in kinds:
        raise UsageError(
            f"the pairs in {path} cannot be read",
            f"its name does not end in {' or '.join(kinds)}",
            "see docs/pairs.md for the formats",
        )
    return kinds[path.suffix](path)


class Parquet:
    """A parquet file. The file is opened for each row group that is read, so that hundreds of shards can be in use."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        try:
            with pq.ParquetFile(path) as file:
                sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
                schema = file.schema_arrow
        except (OSError, pa.ArrowException) as error:
            raise CorruptError(
                f"{path} is not a readable parquet file", str(error), "fetch or write it again"
            ) from error
        self.columns = frozenset(schema.names)
        kinds = (pa.types.is_string, pa.types.is_large_string)
        self.texts = frozenset(field.name for field in schema if any(is_kind(field.type) for is_kind in kinds))
        self._starts = np.cumsum([0, *sizes])
        self._groups: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def place(self, row: int) -> str:
        return f"{self.path.name}, row {row}"

    def row(self, row: int, columns: Sequence[str]) -> dict[str, Any]:
        import pyarrow as pa

        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        try:
            table = self._group(group, columns)
        except (OSError, pa.ArrowException) as error:
            raise BadRow(self.place(row), f"its part of the file cannot be read ({_line(error)})") from error
        values: dict[str, Any] = table.slice(row - int(self._starts[group]), 1).to_pylist()[0]
        return values

    def scan(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(columns=[c for c in columns if c in self.columns]):
                    yield from batch.to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise CorruptError(
                f"the columns {', '.join(columns)} of {self.path} cannot be read", _line(error), "fetch the file again"
            ) from error

    def _group(self, group: int, columns: Sequence[str]) -> Any:
        import pyarrow.parquet as pq

        with self._lock:
            if group not in self._groups:
                wanted = [c for c in columns if c in self.columns]
                with pq.ParquetFile(self.path, memory_map=True) as file:
                    self._groups[group] = file.read_row_group(group, columns=wanted)
            self._groups.move_to_end(group)
            while len(self._groups) > 1 and sum(table.nbytes for table in self._groups.values()) > CACHED:
                self._groups.popitem(last=False)
            return self._groups[group]


class Lines:
    """A JSONL file: an object a line, blank ones at the end aside. In memory is where each line begins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        begins, position, count = array("q"), 0, 0
        with path.open("rb") as file:
            for line in file:
                begins.append(position)
                position += len(line)
                count = len(begins) if line.strip() else count
        self._begins = begins[:count]
        self.columns = self.texts = frozenset(self._first())

    def __len__(self) -> int:
        return len(self._begins)

    def place(self, row: int) -> str:
        return f"{self.path.name}, line {row + 1}"

    def row(self, row: int, columns: Sequence[str]) -> dict[str, Any]:
        with self.path.open("rb") as file:
            file.seek(self._begins[row])
            values = self._parse(row, file.readline())
        return {name: values.get(name) for name in columns}

    def scan(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            for row, line in enumerate(islice(file, len(self))):
                try:
                    values = self._parse(row, line)
                except BadRow:
                    values = {}
                yield {name: values.get(name) for name in columns}

    def _first(self) -> dict[str, Any]:
        try:
            with self.path.open("rb") as file:
                return self._parse(0, file.readline()) if len(self) else {}
        except BadRow as bad:
            raise CorruptError(
                f"{self.path} is not JSONL", str(bad), "write one JSON object a line, see docs/pairs.md"
            ) from bad

    def _parse(self, row: int, line: bytes) -> dict[str, Any]:
        try:
            values = json.loads(line)
        except ValueError as error:
            raise BadRow(self.place(row), f"it is not JSON ({_line(error)})") from error
        if not isinstance(values, dict):
            raise BadRow(self.place(row), "it is not a JSON object")
        return values


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
