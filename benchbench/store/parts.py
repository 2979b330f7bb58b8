"""Tables on disk as parquet files in one folder, the parts. Each is written atomically; damaged ones are made again.

A part carries the sha256 of its own bytes, which each read verifies. In its metadata stand ``MARK`` and 64 digits: the
sha256 of the file with zeros in the place of these digits. Parts of earlier versions have no mark and are read as they
are. ``about`` says what made the rows; a part that something else made counts as missing.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from benchbench.runtime.files import Log, write_atomic
from benchbench.runtime.hashing import bytes_sha256

MARK = b"sha256 of this file with zeros here: "
ZEROS = b"0" * 64


class ParquetParts:
    """The parts in ``folder``, by name. If ``columns`` (names to types) is given, parts are read with exactly these."""

    def __init__(self, folder: Path, columns: Mapping[str, str] | None = None, about: str = "") -> None:
        self.folder, self.columns, self.about = folder, columns, about

    def path(self, name: str) -> Path:
        """Returns the path of a part."""
        return self.folder / f"{name}.parquet"

    def read(self, name: str, log: Log) -> pd.DataFrame | None:
        """Returns a part's rows, or None if it is missing, damaged or made by something else; the last two are logged.

        A damaged part is one that is no parquet, lacks a column, or has not the bytes that were written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.path(name)
        try:
            data = path.read_bytes()
            check(data)
            about = (pq.read_schema(io.BytesIO(data)).metadata or {}).get(b"about")
            rows = pd.read_parquet(io.BytesIO(data))
            rows = rows if self.columns is None else rows[list(self.columns)].astype(dict(self.columns))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            cause = (str(error).strip() or type(error).__name__).splitlines()[0]
            log(f"warning: {path} cannot be read ({cause}); what it held is made again")
            return None
        if about is not None and about.decode() != self.about:
            now = self.about or "what is here now"
            log(f"{path} was made by {about.decode()}, and not by {now}; it is made again")
            return None
        return rows

    def write(self, name: str, rows: pd.DataFrame) -> None:
        """Writes or replaces a part. Raises RunError if the disk is full."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table, data = pa.Table.from_pandas(rows, preserve_index=False), io.BytesIO()
        metadata = {**(table.schema.metadata or {}), b"checksum": MARK + ZEROS}
        if self.about:
            metadata[b"about"] = self.about.encode()
        pq.write_table(table.replace_schema_metadata(metadata), data)
        write_atomic(self.path(name), sealed(data.getvalue()))

    def missing(self, names: Iterable[str], log: Log) -> list[str]:
        """Returns the names of the parts that are not there or cannot be read."""
        return [name for name in names if self.read(name, log) is None]


def sealed(data: bytes) -> bytes:
    """Returns the file with its sha256 in the place of the zeros after ``MARK``."""
    start = data.rindex(MARK) + len(MARK)
    return data[:start] + bytes_sha256([data]).encode() + data[start + len(ZEROS) :]


def check(data: bytes) -> None:
    """Raises ValueError for a file that has ``MARK`` and after it another sha256 than its own."""
    start = data.rfind(MARK) + len(MARK)
    if start < len(MARK):
        return
    end = start + len(ZEROS)
    if bytes_sha256([data[:start], ZEROS, data[end:]]).encode() != data[start:end]:
        raise ValueError("its content is not what was written: the checksum differs")


def check_part(path: Path) -> None:
    """Raises OSError or ValueError for a part that cannot be read or has not the bytes that were written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = path.read_bytes()
    check(data)
    try:
        pq.read_table(io.BytesIO(data))
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
