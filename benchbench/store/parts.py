"""Tables on disk as parquet files in one folder, the parts. Each is written atomically; damaged ones are made again."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from benchbench.runtime.files import Log, write_atomic


class ParquetParts:
    """The parts in ``folder``, by name. If ``columns`` (names to types) is given, parts are read with exactly these."""

    def __init__(self, folder: Path, columns: Mapping[str, str] | None = None) -> None:
        self.folder, self.columns = folder, columns

    def path(self, name: str) -> Path:
        """Returns the path of a part."""
        return self.folder / f"{name}.parquet"

    def read(self, name: str, log: Log) -> pd.DataFrame | None:
        """Returns a part's rows, or None if it is missing or damaged; damage is logged."""
        import pyarrow as pa

        path = self.path(name)
        try:
            rows = pd.read_parquet(path)
            return rows if self.columns is None else rows[list(self.columns)].astype(dict(self.columns))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            cause = (str(error).strip() or type(error).__name__).splitlines()[0]
            log(f"warning: {path} cannot be read ({cause}); what it held is made again")
            return None

    def write(self, name: str, rows: pd.DataFrame) -> None:
        """Writes or replaces a part. Raises RunError if the disk is full."""
        data = io.BytesIO()
        rows.to_parquet(data, index=False)
        write_atomic(self.path(name), data.getvalue())

    def missing(self, names: Iterable[str], log: Log) -> list[str]:
        """Returns the names of the parts that are not there or cannot be read."""
        return [name for name in names if self.read(name, log) is None]
