"""Parts of rows: whole, named where they are damaged, and under the names that stores already have."""

from pathlib import Path

import pandas as pd
import pytest

from benchbench.store.measurements import MeasurementStore
from benchbench.store.parts import ParquetParts

ROWS = pd.DataFrame({"unit": [0, 1], "value": [0.1, 0.2]})


def test_what_was_written_is_read(tmp_path: Path) -> None:
    parts = ParquetParts(tmp_path / "deep")
    assert parts.missing(["a", "b"], pytest.fail) == ["a", "b"]
    parts.write("a", ROWS)
    assert parts.path("a") == tmp_path / "deep" / "a.parquet"
    pd.testing.assert_frame_equal(parts.read("a", pytest.fail), ROWS)
    assert parts.missing(["a", "b"], pytest.fail) == ["b"]


def test_a_damaged_part_is_named_and_missing(tmp_path: Path) -> None:
    parts, said = ParquetParts(tmp_path, {"value": "float64"}), list[str]()
    parts.write("short", ROWS)
    parts.path("short").write_bytes(parts.path("short").read_bytes()[:-20])
    parts.write("other", ROWS[["unit"]])
    parts.write("sound", ROWS)
    assert parts.missing(["short", "other", "sound"], said.append) == ["short", "other"]
    assert [str(parts.path(name)) in line for name, line in zip(("short", "other"), said, strict=True)] == [True, True]
    assert list(parts.read("sound", pytest.fail).columns) == ["value"]


def test_a_measurement_makes_only_what_is_missing(tmp_path: Path) -> None:
    """Five units, two a part; the names on disk and the digest of the key are those of every store."""
    made: list[tuple[int, int]] = []

    def part(start: int, stop: int) -> pd.DataFrame:
        made.append((start, stop))
        return pd.DataFrame({"unit": range(start, stop)})

    def collect() -> list[int]:
        kept = MeasurementStore(tmp_path, "gap", {"seed": 1})
        return list(kept.collect(5, 2, lambda: part, lambda: {"device": "cpu"}, "gap", "states", pytest.fail).unit)

    assert collect() == collect() == [0, 1, 2, 3, 4] and made == [(0, 2), (2, 4), (4, 5)]
    folder = tmp_path / "measurements" / "gap" / "fbe47f6d82b435a8"
    names = {path.name for path in folder.iterdir() if path.suffix != ".lock"}
    assert names == {"record.json", "00000-00002.parquet", "00002-00004.parquet", "00004-00005.parquet"}
    (folder / "00002-00004.parquet").unlink()
    assert MeasurementStore(tmp_path, "gap", {"seed": 1}).missing(5, 2, pytest.fail) == [(2, 4)]
    assert collect() == [0, 1, 2, 3, 4] and made[3:] == [(2, 4)]
