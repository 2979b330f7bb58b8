"""The rows of measurements on disk: one folder per measurement, one parquet file per part of its units.

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
from benchbench.runtime.looking import about_to_make
from benchbench.runtime.progress import progress
from benchbench.store.parts import ParquetParts

MeasureUnits = Callable[[int, int], pd.DataFrame]  # measures the units start..stop-1


class MeasurementStore:
    """The rows of one measurement. ``key`` decides them; ``about`` says by which weights."""

    def __init__(self, store: Path, protocol: str, key: Mapping[str, Any], about: str = "") -> None:
        self.key, self.id = dict(key), digest(key)
        self.folder = store / "measurements" / protocol / self.id
        self.parts = ParquetParts(self.folder, about=about)

    def missing(self, count: int, chunk: int, log: Log) -> list[tuple[int, int]]:
        """Returns the (start, stop) of the parts that are not there or cannot be read."""
        spans = _spans(count, chunk)
        return [spans[name] for name in self.parts.missing(spans, log)]

    def collect(
        self,
        count: int,
        chunk: int,
        prepare: Callable[[], MeasureUnits],
        record: Callable[[], Mapping[str, Any]],
        title: str,
        unit: str,
        log: Log,
    ) -> pd.DataFrame:
        """Returns the rows of ``count`` units, kept in parts of ``chunk``. Existing parts are not measured again.

        ``prepare()`` returns the function that measures units; it is called only if a part is missing. ``record()``
        describes the process for record.json. Raises RunError if the disk is full, and what measuring raises.
        """
        spans = _spans(count, chunk)
        with locked(self.folder / "measure.lock", log):
            sweep(self.folder)
            missing = self.parts.missing(spans, log)
            if missing:
                about_to_make("measurements")
                write_json(self.folder / "record.json", {"id": self.id, "key": self.key, "made_on": record()})
                measure_units = prepare()
                missing_units = sum(stop - start for start, stop in map(spans.__getitem__, missing))
                with progress(count, title, unit, count - missing_units) as bar:
                    for name in missing:
                        start, stop = spans[name]
                        self.parts.write(name, measure_units(start, stop))
                        bar.advance(stop - start)
            rows = [self.parts.read(name, log) for name in spans]
        return pd.concat([part for part in rows if part is not None], ignore_index=True)


def _spans(count: int, chunk: int) -> dict[str, tuple[int, int]]:
    """Returns the (start, stop) of the parts by their names."""
    spans = [(start, min(start + chunk, count)) for start in range(0, count, chunk)]
    return {f"{start:05d}-{stop:05d}": (start, stop) for start, stop in spans}
