"""The columns of pairs: what other programs write is read, or refused when the file is opened, by column and type."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchbench.errors import BenchError, CorruptError, UsageError
from benchbench.pairs.check import check
from benchbench.pairs.dataset import BadRow
from benchbench.pairs.open import open_pairs, require_usable
from tests.pairs.pair_folders import grey, opened, picture, read, rows, write_parquet, write_pickapic

PICTURE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def structs(count: int) -> pa.Table:
    """The pairs of ``rows`` as ``datasets`` writes them: bytes, and a name that is no file."""
    made = rows(count)
    columns = {
        side: pa.array([{"bytes": row[side], "path": f"{side}.png"} for row in made], PICTURE)
        for side in ("winner", "loser")
    }
    return pa.table({"caption": [row["caption"] for row in made], **columns})


def test_pictures_as_datasets_writes_them(tmp_path: Path) -> None:
    """struct<bytes, path> with bytes, without bytes (then the path counts, and enters the hash), and in a shard."""
    plain = read(opened(write_parquet(tmp_path / "a.parquet", rows(4))))
    pq.write_table(structs(4), tmp_path / "b.parquet")
    assert read(opened(tmp_path / "b.parquet")) == plain
    (tmp_path / "w.png").write_bytes(picture(40))
    (tmp_path / "l.png").write_bytes(picture(50))
    named = pa.table(
        {
            "caption": pa.array(["named"]).dictionary_encode(),
            "winner": pa.array([{"bytes": None, "path": "w.png"}], PICTURE),
            "loser": pa.array([{"bytes": None, "path": "l.png"}], PICTURE),
        }
    )
    pq.write_table(named, tmp_path / "c.parquet")
    pairs = opened(tmp_path / "c.parquet")
    assert read(pairs) == [("named", 40, 50)]
    (tmp_path / "w.png").write_bytes(picture(41))
    assert opened(tmp_path / "c.parquet").hash != pairs.hash
    shard = pq.read_table(write_pickapic(tmp_path / "d.parquet", [(1.0, 0.0), (0.0, 1.0)])).to_pydict()
    for side in ("jpg_0", "jpg_1"):
        shard[side] = pa.array([{"bytes": data, "path": None} for data in shard[side]], PICTURE)
    pq.write_table(pa.table(shard), tmp_path / "d.parquet")
    assert read(opened(tmp_path / "d.parquet")) == [("caption 0", 0, 1), ("caption 1", 3, 2)]


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("caption", [["a cat"], ["a dog"]], "list<"),
        ("caption", [1, 2], "int64"),
        ("caption", [None, None], "null"),
        ("winner", [1.5, 2.5], "double"),
        ("loser", [[b"x"], [b"y"]], "list<"),
        ("winner", [{"height": 3}, {"height": 4}], "struct<height"),
    ],
)
def test_a_column_of_another_type_is_refused_at_once(column: str, values: list[Any], said: str, tmp_path: Path) -> None:
    made = rows(2)
    for row, value in zip(made, values, strict=True):
        row[column] = value
    path = write_parquet(tmp_path / "a.parquet", made)
    with pytest.raises(UsageError, match=f"the column {column} of") as error:
        opened(path)
    assert said in error.value.cause


@pytest.mark.parametrize("values", [[["a cat"], ["a dog"]], [1, 2]])
def test_a_column_of_another_type_in_jsonl(values: list[Any], tmp_path: Path) -> None:
    """Refused where it is so in every line; one such line among others is a bad row that says what it holds."""
    lines = [{"caption": value, "winner": "a.png", "loser": "b.png"} for value in values]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UsageError, match="the column caption of") as error:
        opened(path)
    assert str(values[0]) in error.value.cause
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "b.png").write_bytes(picture(2))
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {**lines[0], "caption": "x"}]))
    pairs = opened(path)
    with pytest.raises(BadRow, match="the caption is no text but"):
        pairs[0]
    assert pairs[2].caption == "x" and grey(pairs[2].winner) == 1


def test_labels_in_other_types(tmp_path: Path) -> None:
    """Texts, whole numbers and truth values; what is no number is refused with its row."""
    for second, first in ((["0", "1", "0.5", "0"], ["1", "0", "0.5", " "]), ([0, 1, 0, 1], [1, 0, 1, None])):
        labels = list(zip(first, second, strict=True))
        pairs = opened(write_pickapic(tmp_path / "a.parquet", labels))  # type: ignore[arg-type]
        assert [pairs[i].swapped for i in range(2)] == [False, True] and pairs.counts["unlabelled"] == 1
    truths = opened(write_pickapic(tmp_path / "b.parquet", [(True, False), (False, True)]))
    assert [truths[i].swapped for i in range(2)] == [False, True]
    spoken = write_pickapic(tmp_path / "c.parquet", [(1.0, 0.0)] * 3, has_label=["True", "false", "1"])
    assert len(opened(spoken)) == 2
    for change in ({"label_0": ["1", "left"]}, {"has_label": ["yes", "no"]}):
        path = write_pickapic(tmp_path / "d.parquet", [(1.0, 0.0)] * 2, **change)
        with pytest.raises(UsageError, match="labels of") as error:
            opened(path)
        assert "row" in error.value.cause


def test_pick_a_pic_without_pictures_is_told_what_it_lacks(tmp_path: Path) -> None:
    path = write_pickapic(tmp_path / "a.parquet", [(1.0, 0.0)])
    pq.write_table(pq.read_table(path).drop_columns(["jpg_0", "jpg_1"]), path)
    with pytest.raises(UsageError, match="Pick-a-Pic and holds no pictures") as error:
        opened(path)
    assert "no column jpg_0, jpg_1" in error.value.cause and "bench fetch --pairs pickapic_v2" in error.value.remedy


def test_rows_left_out_are_counted_by_their_reason(tmp_path: Path) -> None:
    """A tie, has_label false, no label, (1, 1); an empty caption is counted by the check."""
    labels = [(1.0, 0.0), (0.5, 0.5), (1.0, 0.0), (None, None), (1.0, 1.0), (0.0, 1.0)]
    captions = [f"caption {i}" for i in range(5)] + [" "]
    path = write_pickapic(
        tmp_path / "a.parquet", labels, has_label=[True, True, False, True, True, True], caption=captions
    )
    pairs = opened(path)
    assert pairs.counts == {"rows": 6, "ties": 1, "unlabelled": 2, "undecided": 1, "duplicates": 0}
    lines = check(pairs, lambda bad: None).lines(pairs)
    assert "2 without a label (or has_label is false), 1 with another label (as 1 for both)" in lines[0]
    assert lines[1] == "1 pairs can be used, 1 cannot; 1 of these have an empty caption"


def test_one_pair_a_caption_keeps_one_that_can_be_read(tmp_path: Path) -> None:
    """Each caption has 6 rows, all broken but one, which is read. Where all are broken, the first error is raised."""
    made = [{**row, "caption": f"caption {i % 3}"} for i, row in enumerate(rows(18))]
    for i, row in enumerate(made):
        if i not in {4, 9}:  # of captions 1 and 0; none of caption 2
            row["loser"] = b"broken"
    pairs = opened(write_parquet(tmp_path / "a.parquet", made), nodup=True)
    by_caption = dict(zip(pairs.captions(), range(3), strict=True))
    assert grey(pairs[by_caption["caption 1"]].winner) == 8 and grey(pairs[by_caption["caption 0"]].winner) == 18
    with pytest.raises(BadRow) as error:
        pairs[by_caption["caption 2"]]
    assert error.value.row == pairs.place(by_caption["caption 2"])


@pytest.mark.parametrize("kind", ["pipe as a set", "pipe in a folder", "pipe as a picture", "device as a set"])
def test_what_might_never_end_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    reference = tmp_path / "a.parquet"
    if kind == "pipe as a picture":
        os.mkfifo(tmp_path / "w.png")
        reference = write_parquet(reference, [{"caption": "x", "winner": "w.png", "loser": "w.png"}])
    elif kind == "device as a set":
        reference = Path("/dev/zero")
    else:
        os.mkfifo(reference)
    with pytest.raises((UsageError, CorruptError)) as error:
        open_pairs(str(tmp_path if kind == "pipe in a folder" else reference))
    assert "pipe" in str(error.value) or "no regular file" in str(error.value)


def test_names_that_no_file_can_have_are_bad_rows(tmp_path: Path) -> None:
    """Too long, half a character, a loop of links."""
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "w.png").write_bytes(picture(1))
    names = ["w.png", "x" * 5000, "\ud800.png", "loop.png", "a/" * 3000]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"caption": "x", "winner": n, "loser": "w.png"}) + "\n" for n in names))
    pairs = opened(path)
    assert grey(pairs[0].winner) == 1
    for i in range(1, len(names)):
        with pytest.raises(BadRow, match="cannot be read"):
            pairs[i]
    path.write_text(json.dumps({"caption": "half \ud800", "winner": "w.png", "loser": "w.png"}) + "\n")
    for nodup in (False, True):
        with pytest.raises(BadRow, match="half a character"):
            opened(path, nodup=nodup)[0]


def test_two_columns_of_one_name_and_text_that_is_none(tmp_path: Path) -> None:
    data = pa.array([picture(1)])
    table = pa.Table.from_arrays([pa.array(["x"]), data, data, data], ["caption", "winner", "loser", "winner"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(CorruptError, match="two columns of one name"):
        opened(tmp_path / "a.parquet")
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    pq.write_table(pa.table({"caption": broken, "winner": data, "loser": data}), tmp_path / "b.parquet")
    with pytest.raises(BadRow, match="not UTF-8"):
        opened(tmp_path / "b.parquet")[0]
    with pytest.raises(BenchError):
        opened(tmp_path / "b.parquet", nodup=True)


def test_hidden_files_are_no_pairs(tmp_path: Path) -> None:
    """Other systems leave such files beside copies."""
    write_parquet(tmp_path / "a.parquet", rows(2))
    (tmp_path / "._a.parquet").write_bytes(b"resource fork")
    assert len(open_pairs(str(tmp_path))) == 2


def test_a_set_without_a_usable_pair_is_refused_before_it_is_used(tmp_path: Path) -> None:
    broken = [{**row, "loser": b"broken"} for row in rows(200)]
    pairs = opened(write_parquet(tmp_path / "a.parquet", broken))
    with pytest.raises(CorruptError, match="cannot be used") as error:
        require_usable(pairs)
    assert "64 of its 200" in error.value.cause and "skip" not in error.value.remedy
    require_usable(opened(write_parquet(tmp_path / "b.parquet", rows(1) + broken)))
