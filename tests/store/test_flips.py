"""One flipped bit in a file that reaches a number is noticed, or the value is what it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchbench.errors import CorruptError
from benchbench.noise import Sample
from benchbench.runtime.sealed import FIELD, find_sealed, read_sealed, seal, unseal, write_sealed
from benchbench.store.images import ImageStore
from benchbench.store.keys import GenerationKey
from benchbench.store.metrics import MetricsWriter, last_metrics, read_metrics
from benchbench.store.parts import MARK, ParquetParts

OBJECT = {"samples": 24, "scores": [0.1, -2.5e-07, 131.8], "name": 'a "cat" é\n', "nested": {"w": 5.0, "none": None}}
ROWS = pd.DataFrame({"prompt": ["a cat", "ein Hund"] * 20, "score": np.linspace(-1, 1, 40), "sample": range(40)})
BITS = (0, 3, 5)


def flips(content: bytes, step: int = 1):
    """Yields the content with one bit flipped, at every ``step``-th byte."""
    for place in range(0, len(content), step):
        for bit in BITS:
            yield content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]


def test_a_sealed_object_is_what_was_written_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_sealed(path, OBJECT)
    before, found = path.read_bytes(), []
    assert read_sealed(path, "") == find_sealed(path) == OBJECT
    for content in flips(before):
        path.write_bytes(content)
        value = find_sealed(path)
        found.append(value)
        # a flip in the name of the checksum leaves an object without one, and the values as they were
        assert value is None or {name: value.get(name) for name in OBJECT} == OBJECT
    assert found.count(None) > 0.9 * len(found)


def test_a_wrong_value_is_refused_with_three_lines(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(seal(OBJECT)).replace("131.8", "5.32"))
    with pytest.raises(CorruptError, match="is damaged") as error:
        read_sealed(path, "make it again")
    assert str(path) in error.value.problem and error.value.remedy == "make it again"


def test_white_space_and_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(seal(OBJECT), indent=7, sort_keys=True))
    assert find_sealed(path) == OBJECT
    path.write_text(json.dumps(OBJECT))
    assert find_sealed(path) == OBJECT
    assert unseal(seal({1: (2, float("inf"))})) == {"1": [2, float("inf")]} and FIELD in seal({})


def test_a_part_is_what_was_written_or_is_made_again(tmp_path: Path) -> None:
    parts = ParquetParts(tmp_path)
    parts.write("a", ROWS)
    before, damaged = parts.path("a").read_bytes(), 0
    pd.testing.assert_frame_equal(parts.read("a", pytest.fail), ROWS)
    for content in flips(before, 17):
        parts.path("a").write_bytes(content)
        rows = parts.read("a", lambda line: None)
        damaged += rows is None
        if rows is not None:
            pd.testing.assert_frame_equal(rows, ROWS)
    assert damaged > 0.9 * len(list(flips(before, 17)))


def test_a_part_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    parts = ParquetParts(tmp_path, about="weights 1")
    ROWS.to_parquet(parts.path("a"), index=False)
    assert MARK not in parts.path("a").read_bytes()
    pd.testing.assert_frame_equal(parts.read("a", pytest.fail), ROWS)


def test_a_part_that_other_weights_made_is_made_again(tmp_path: Path) -> None:
    said: list[str] = []
    ParquetParts(tmp_path, about="weights 1").write("a", ROWS)
    assert ParquetParts(tmp_path, about="weights 1").read("a", pytest.fail) is not None
    for about in ("weights 2", ""):
        assert ParquetParts(tmp_path, about=about).read("a", said.append) is None
    assert len(said) == 2 and "was made by weights 1, and not by weights 2" in said[0]


def test_a_row_of_metrics_is_what_was_written_or_is_left_out(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path, 0, 0)
    rows = [{"samples": n, "loss": 0.1 * n, "eval.reward": float("nan") if n == 2 else 1.0} for n in (1, 2, 3)]
    for row in rows:
        writer.row(int(row["samples"]), {name: value for name, value in row.items() if name != "samples"})
    writer.close()
    path, shown = tmp_path / "metrics.jsonl", [repr(row) for row in rows]
    before = path.read_bytes()
    assert [repr(row) for row in read_metrics(tmp_path, pytest.fail)] == shown and repr(
        last_metrics(tmp_path)
    ) == shown[2]
    for content in flips(before):
        path.write_bytes(content)
        for row in read_metrics(tmp_path, lambda line: None):
            values = {name: value for name, value in row.items() if name in rows[0]}
            assert repr(values) in shown


def test_a_resumed_log_has_no_nul_and_says_what_is_lost(tmp_path: Path) -> None:
    """Seven rows, of which a disk kept two and a half; then one of the two is damaged."""
    path, said = tmp_path / "metrics.jsonl", list[str]()
    writer = MetricsWriter(tmp_path, 0, 0)
    for n in range(7):
        writer.row(n, {"loss": float(n)})
    writer.close()
    size, lines = writer.bytes, path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:9])
    MetricsWriter(tmp_path, size, 7, said.append).close()
    assert path.read_bytes() == b"".join(lines[:2]) and len(said) == 2
    assert "has lost rows" in said[0] and "1 of its rows are left out" in said[1]
    path.write_bytes(lines[0].replace(b"0.0", b"9.0") + b"".join(lines[1:]))
    MetricsWriter(tmp_path, size, 7, said.append).close()
    assert path.read_bytes() == b"".join(lines[1:]) and len(said) == 3
    path.write_bytes(b"".join(lines))
    MetricsWriter(tmp_path, size - len(lines[6]), 6, pytest.fail).close()
    assert path.read_bytes() == b"".join(lines[:6])


def test_a_flipped_index_is_not_believed(tmp_path: Path) -> None:
    images = ImageStore(tmp_path, GenerationKey("m", None, {}, "fp32", "set", "p", 0))
    sample = Sample("a cat", 0, 0)
    images.write(sample, np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    first, index = images.scan([sample], print), images.folder / "index.parquet"
    before = index.read_bytes()
    for content in flips(before, 17):
        index.write_bytes(content)
        assert images.scan([sample], pytest.fail) == first


def test_an_image_that_changed_under_its_index_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rot changes bytes and no time: the read finds it and the next scan deletes it, whatever the index says."""
    key = GenerationKey("m", None, {}, "fp32", "set", "p", 0)
    images, sample = ImageStore(tmp_path, key), Sample("a cat", 0, 0)
    images.write(sample, np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    images.scan([sample], print)
    monkeypatch.setattr("benchbench.store.images.file_state", lambda file: (file.stat().st_size, 1, 1, 1))
    images = ImageStore(tmp_path, key)
    images.scan([sample], print)
    path = images.path(sample)
    content = path.read_bytes()
    path.write_bytes(content[:60] + bytes([content[60] ^ 1]) + content[61:])
    assert sample in images.scan([sample], print)
    with pytest.raises(CorruptError):
        images.read(sample)
    said: list[str] = []
    assert images.scan([sample], said.append) == {} and len(said) == 1 and not path.exists()
