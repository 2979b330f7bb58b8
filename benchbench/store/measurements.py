"""Measurements on disk: a folder a measurement, a parquet file a unit of it.

measurements/<protocol>/<key>/record.json             written first: the key, and where it was measured
measurements/<protocol>/<key>/00000-00008.parquet     the rows of units 0 to 7
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchbench.runtime.files import Say, locked, sweep, write_atomic
from benchbench.runtime.hashing import digest
from benchbench.runtime.progress import progress

Compute = Callable[[int, int], pd.DataFrame]  # rows of units start..stop-1


class Measurements:
    """The rows of one measurement. ``key`` is all that decides them."""

    def __init__(self, store: Path, protocol: str, key: Mapping[str, Any]) -> None:
        self.key, self.id = dict(key), digest(key)
        self.folder = store / "measurements" / protocol / self.id

    def missing(self, count: int, chunk: int, say: Say) -> list[tuple[int, int]]:
        """The (start, stop) of the parts that are not there or cannot be read."""
        parts = [(start, min(start + chunk, count)) for start in range(0, count, chunk)]
        return [part for part in parts if self._read(*part, say) is None]

    def collect(
        self,
        count: int,
        chunk: int,
        compute: Callable[[], Compute],
        record: Callable[[], Mapping[str, Any]],
        title: str,
        unit: str,
        say: Say,
    ) -> pd.DataFrame:
        """All rows; ``compute()`` gives what makes missing parts, and is called only where one is missing.

        A part that is there is never made again. Errors: RunError for a disk that is full, and those of computing.
        """
        with locked(self.folder / "measure.lock", say):
            sweep(self.folder)
            todo = self.missing(count, chunk, say)
            if todo:
                text = json.dumps({"id": self.id, "key": self.key, "made_on": record()}, indent=1)
                write_atomic(self.folder / "record.json", text.encode())
                make = compute()
                with progress(count, title, unit, count - sum(stop - start for start, stop in todo)) as bar:
                    for start, stop in todo:
                        self._write(start, stop, make(start, stop))
                        bar.advance(stop - start)
            parts = [self._read(start, min(start + chunk, count), say) for start in range(0, count, chunk)]
        return pd.concat([part for part in parts if part is not None], ignore_index=True)

    def _path(self, start: int, stop: int) -> Path:
        return self.folder / f"{start:05d}-{stop:05d}.parquet"

    def _write(self, start: int, stop: int, rows: pd.DataFrame) -> None:
        data = io.BytesIO()
        rows.to_parquet(data, index=False)
        write_atomic(self._path(start, stop), data.getvalue())

    def _read(self, start: int, stop: int, say: Say) -> pd.DataFrame | None:
        import pyarrow as pa

        path = self._path(start, stop)
        try:
            return pd.read_parquet(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, pa.ArrowException) as error:
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            say(f"warning: the measurement {path} cannot be read ({why}); it is made again")
            return None
