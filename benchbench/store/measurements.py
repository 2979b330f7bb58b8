"""Measurements on disk: a folder a measurement, a parquet file a unit of it.

measurements/<protocol>/<key>/record.json             written first: the key, and where it was measured
measurements/<protocol>/<key>/00000-00008.parquet     the rows of units 0 to 7
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchbench.runtime.files import Log, sweep
from benchbench.runtime.hashing import digest
from benchbench.runtime.json_files import write_json
from benchbench.runtime.locks import locked
from benchbench.runtime.progress import progress
from benchbench.store.parts import ParquetParts

Compute = Callable[[int, int], pd.DataFrame]  # rows of units start..stop-1


class MeasurementParts:
    """The rows of one measurement. ``key`` is all that decides them."""

    def __init__(self, store: Path, protocol: str, key: Mapping[str, Any]) -> None:
        self.key, self.id = dict(key), digest(key)
        self.folder = store / "measurements" / protocol / self.id
        self.parts = ParquetParts(self.folder)

    def missing(self, count: int, chunk: int, log: Log) -> list[tuple[int, int]]:
        """Returns the (start, stop) of the parts that are not there or cannot be read."""
        spans = _spans(count, chunk)
        return [spans[name] for name in self.parts.missing(spans, log)]

    def collect(
        self,
        count: int,
        chunk: int,
        compute: Callable[[], Compute],
        record: Callable[[], Mapping[str, Any]],
        title: str,
        unit: str,
        log: Log,
    ) -> pd.DataFrame:
        """Returns all rows; ``compute()`` gives what makes missing parts, and is called only where one is missing.

        A part that is there is never made again. Errors: RunError for a disk that is full, and those of computing.
        """
        spans = _spans(count, chunk)
        with locked(self.folder / "measure.lock", log):
            sweep(self.folder)
            todo = self.parts.missing(spans, log)
            if todo:
                write_json(self.folder / "record.json", {"id": self.id, "key": self.key, "made_on": record()})
                make = compute()
                left = sum(stop - start for start, stop in map(spans.__getitem__, todo))
                with progress(count, title, unit, count - left) as bar:
                    for name in todo:
                        start, stop = spans[name]
                        self.parts.write(name, make(start, stop))
                        bar.advance(stop - start)
            rows = [self.parts.read(name, log) for name in spans]
        return pd.concat([part for part in rows if part is not None], ignore_index=True)


def _spans(count: int, chunk: int) -> dict[str, tuple[int, int]]:
    """Returns the (start, stop) of the parts by their names."""
    spans = [(start, min(start + chunk, count)) for start in range(0, count, chunk)]
    return {f"{start:05d}-{stop:05d}": (start, stop) for start, stop in spans}
