"""Pairs in files: every format round trip, labels, duplicates, bad rows, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchbench.errors import CorruptError, UsageError
from benchbench.pairs.dataset import BadRow
from benchbench.pairs.open import open_pairs
from benchbench.runtime.hashing import HashCache
from tests.pairs.pair_folders import opened, picture, read, rows, write_parquet, write_pickapic
from tests.runtime.picture_files import png, saved

EXPECTED = [(f"caption {i}", 2 * i, 2 * i + 1) for i in range(7)]


def write_pictures(folder: Path, count: int) -> list[dict[str, str]]:
    """Writes pictures as files, and returns rows that name them."""
    (folder / "img").mkdir(parents=True)
    made = []
    for i, row in enumerate(rows(count)):
        names = {side: f"img/{i}-{side}.png" for side in ("winner", "loser")}
        for side, name in names.items():
            (folder / name).write_bytes(row[side])
        made.append({"caption": row["caption"], **names})
    return made


def write_jsonl(path: Path, of: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in of), encoding="utf-8")
    return path


def test_every_format_of_ours_reads_the_same(tmp_path: Path) -> None:
    """Writes bytes in parquet (row groups of 3), paths in parquet, paths in JSONL, and two files that are one set."""
    named = write_pictures(tmp_path, 7)
    own = write_parquet(tmp_path / "bytes.parquet", rows(7))
    paths = write_parquet(tmp_path / "paths.parquet", named)
    lines = write_jsonl(tmp_path / "lines.jsonl", named)
    for pairs in (opened(own), opened(paths), opened(lines)):
        assert read(pairs) == EXPECTED and list(pairs.captions()) == [row[0] for row in EXPECTED]
    two = opened(own, paths)
    assert read(two) == EXPECTED * 2 and two.place(8) == "paths.parquet, row 1"
    with pytest.raises(IndexError):
        two[14]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_pickapic_as_it_is(tmp_path: Path, version: str) -> None:
    """Rows: first preferred, second preferred (swapped), tie, no label, second preferred. Winners by hand: grey 0 of
    row 0, grey 3 of row 1, grey 9 of row 4. With ties, row 2 too: first picture first. JPEG of one grey is exact.
    """
    labels = [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (None, None), (0.0, 1.0)]
    folder = tmp_path / f"pickapic_{version}"
    path = write_pickapic(folder / "data" / f"train-00000-of-00645-{version}.parquet", labels)
    pairs = open_pairs(str(folder))
    assert read(pairs) == [("caption 0", 0, 1), ("caption 1", 3, 2), ("caption 4", 9, 8)]
    assert pairs.counts == {"rows": 5, "ties": 1, "unlabelled": 1, "undecided": 0, "duplicates": 0}
    assert [pairs[i].swapped for i in range(3)] == [False, True, True] and pairs.place(2).endswith("row 4")
    tied = opened(path, ties=True)
    assert read(tied)[2] == ("caption 2", 4, 5) and [tied[i].tie for i in range(4)] == [False, False, True, False]
    assert len({pairs.hash, tied.hash}) == 2


def test_rows_that_nobody_judged_are_left_out(tmp_path: Path) -> None:
    """Rows with has_label false, and labels that are neither a choice nor a tie: (1, 1), (0, 0), (.3, .7)."""
    labels = [(1.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 0.0), (0.3, 0.7)]
    path = write_pickapic(tmp_path / "a.parquet", labels, has_label=[True, False, True, True, True])
    assert opened(path).counts == {"rows": 5, "ties": 0, "unlabelled": 1, "undecided": 3, "duplicates": 0}
    with pytest.raises(UsageError, match="no pair"):
        opened(write_pickapic(tmp_path / "b.parquet", [(0.5, 0.5)]))


def test_labels_without_a_second_column(tmp_path: Path) -> None:
    """label_0 alone decides, as in Diffusion-DPO's filter: 1 and 0 are choices, .5 is a tie."""
    path = write_pickapic(tmp_path / "a.parquet", [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)])
    table = pq.read_table(path).drop_columns(["label_1", "has_label"])
    pq.write_table(table, path)
    assert read(opened(path)) == [("caption 0", 0, 1), ("caption 1", 3, 2)] and opened(path).counts["ties"] == 1


def test_one_pair_a_caption(tmp_path: Path) -> None:
    """40 captions with 5 rows each: 40 stay, the same at every opening, and not the first of each: that the first row
    of all 40 is drawn has probability 5^-40. The ties are gone before.
    """
    labels = [(1.0, 0.0)] * 200 + [(0.5, 0.5)] * 5
    captions = [f"caption {i % 40}" for i in range(200)] + ["a tie"] * 5
    path = write_pickapic(tmp_path / "a.parquet", labels, caption=captions)
    pairs, again = opened(path, nodup=True), opened(path, nodup=True)
    assert len(pairs) == 40 and pairs.counts["duplicates"] == 160
    assert sorted(pairs.captions()) == sorted(set(captions) - {"a tie"})
    places = [pairs.place(i) for i in range(40)]
    assert places == [again.place(i) for i in range(40)]
    assert len({int(place.split()[-1]) // 40 for place in places}) > 1  # from several of the five rounds
    assert pairs.hash == again.hash != opened(path).hash


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname", "img/../../secret.png", "link.png", "a\0b"])
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_picture_outside_the_folder_is_refused(tmp_path: Path, name: str, ending: str) -> None:
    """A path that leaves the folder is refused, also through a symbolic link and with any choice for bad rows."""
    (tmp_path / "secret.png").write_bytes(picture(9))
    folder = tmp_path / "set"
    named = write_pictures(folder, 2)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    named[1]["loser"] = name
    write = write_jsonl if ending == "jsonl" else write_parquet
    with pytest.raises(CorruptError, match="refused") as caught:
        opened(write(folder / f"pairs.{ending}", named))
    assert ("line 2" if ending == "jsonl" else "row 1") in caught.value.cause and "outside" in caught.value.cause


def test_bad_rows_say_where_and_why(tmp_path: Path) -> None:
    """A truncated picture, no picture, a text file, an empty caption, none; a missing file, a line that is not JSON, a
    blank line, a list, and a number for a picture.
    """
    whole = rows(6)
    whole[0]["winner"] = picture(0, (64, 64), "JPEG")[:-200]
    whole[1]["loser"] = None
    whole[2]["loser"] = b"no picture at all"
    whole[3]["caption"] = "  "
    whole[4]["caption"] = None
    pairs = opened(write_parquet(tmp_path / "a.parquet", whole))
    causes = ["winner is not a readable picture", "loser has no picture", "loser is not a readable", "caption is empty"]
    for i, cause in enumerate([*causes, "caption is empty"]):
        with pytest.raises(BadRow) as caught:
            pairs[i]
        assert cause in caught.value.why and caught.value.row == f"a.parquet, row {i}"
    assert pairs[5].caption == "caption 5" and list(pairs.captions())[3:] == ["  ", "", "caption 5"]

    named = write_pictures(tmp_path, 3)
    lines = write_jsonl(tmp_path / "a.jsonl", named)
    (tmp_path / named[0]["winner"]).unlink()
    lines.write_text(lines.read_text() + "{broken\n\n[1]\n" + json.dumps({"caption": "x", "winner": 3}) + "\n\n \n")
    pairs = opened(lines)
    causes = {0: "No such file", 3: "not JSON", 4: "not JSON", 5: "not a JSON object", 6: "winner has no picture"}
    for i, cause in causes.items():
        with pytest.raises(BadRow, match=cause) as caught:
            pairs[i]
        assert caught.value.row == f"a.jsonl, line {i + 1}"
    assert pairs[1].caption == "caption 1" and len(pairs) == len(list(pairs.captions())) == 7


def test_missing_columns_and_damaged_files_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not hold pairs") as caught:
        opened(write_parquet(tmp_path / "a.parquet", [{"caption": "x", "winner": picture(0)}]))
    assert "no column loser" in caught.value.cause
    with pytest.raises(UsageError) as caught:
        opened(write_parquet(tmp_path / "b.parquet", [{"caption": "x", "jpg_0": b"", "jpg_1": b""}]))
    assert "no column label_0" in caught.value.cause
    (tmp_path / "c.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(CorruptError):
        opened(tmp_path / "c.parquet")
    (tmp_path / "d.jsonl").write_text("caption,winner,loser\n")
    with pytest.raises(CorruptError, match="not JSONL"):
        opened(tmp_path / "d.jsonl")
    (tmp_path / "e.csv").write_text("caption,winner,loser\n")
    with pytest.raises(UsageError, match="cannot be read"):
        opened(tmp_path / "e.csv")


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    """Equal bytes in another place have the same hash; another picture behind one path has another, cached or not."""
    named = write_pictures(tmp_path / "a", 3)
    write_pictures(tmp_path / "b", 3)
    first, second = (write_jsonl(tmp_path / x / "pairs.jsonl", named) for x in "ab")
    assert opened(first).hash == opened(second).hash
    with HashCache() as hashes:
        before = hashes(tmp_path / "b" / named[0]["loser"])
    (tmp_path / "b" / named[0]["loser"]).write_bytes(picture(77))
    assert opened(first).hash != opened(second).hash
    with HashCache() as again:
        assert again(tmp_path / "b" / named[0]["loser"]) != before
        assert again(tmp_path / "a" / named[0]["loser"]) == before


def test_what_a_reference_may_be(tmp_path: Path) -> None:
    """Opens a file, a folder or a pattern, never two splits or formats at once; a wrong name gets the nearest one."""
    for split in ("train", "validation"):
        for n in range(2):
            write_pickapic(tmp_path / "data" / f"{split}-0000{n}-of-00002.parquet", [(1.0, 0.0)])
    assert len(open_pairs(str(tmp_path / "data" / "train-*.parquet"))) == 2
    assert len(open_pairs(str(tmp_path / "data" / "train-00001-of-00002.parquet"))) == 1
    with pytest.raises(UsageError, match="several sets") as caught:
        open_pairs(str(tmp_path))
    assert caught.value.cause == "there are train, validation"
    with pytest.raises(UsageError) as caught:
        open_pairs("pickapic_v3")
    assert "pickapic_v" in caught.value.cause
    for reference in (str(tmp_path / "nothing.parquet"), str(tmp_path / "none"), "made:shapes-simple:32", "made:a:b:1"):
        with pytest.raises(UsageError):
            open_pairs(reference)


def test_little_is_read_for_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening 200 rows in groups of 2 reads no picture; reading a row reads its own group and no other."""
    path = write_pickapic(tmp_path / "a.parquet", [(1.0, 0.0)] * 200)
    read_groups, scanned = [], []
    group, batches = pq.ParquetFile.read_row_group, pq.ParquetFile.iter_batches

    def watch(self, i, columns=None):  # type: ignore[no-untyped-def]
        read_groups.append(i)
        return group(self, i, columns=columns)

    def watch_all(self, columns=None):  # type: ignore[no-untyped-def]
        scanned.extend(columns)
        return batches(self, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watch)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watch_all)
    pairs = opened(path)
    assert not read_groups and set(scanned) <= {"label_0", "label_1", "has_label"}
    assert pairs[77].caption == "caption 77" and read_groups == [38]  # groups of 2: 77 // 2


def test_pictures_are_read_as_they_are_shown(tmp_path: Path) -> None:
    """A winner whose EXIF orientation is 6: the dark left half of the file is the upper half of the picture. A loser of
    16 bits: 257 * 90 is 90. In every form: bytes and paths in parquet, paths in JSONL, a shard of Pick-a-Pic.
    """
    exif = Image.Exif()
    exif[274] = 6
    half = np.zeros((8, 8, 3), np.uint8)
    half[:, 4:] = 255
    files = {
        "w.png": saved(Image.fromarray(half), exif=exif),
        "l.png": saved(Image.fromarray(np.full((8, 8), 257 * 90, np.uint16))),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    by_bytes = [{"caption": "x", "winner": files["w.png"], "loser": files["l.png"]}]
    by_path = [{"caption": "x", "winner": "w.png", "loser": "l.png"}]
    shard = write_pickapic(tmp_path / "c.parquet", [(0.0, 1.0)], jpg_0=[files["l.png"]], jpg_1=[files["w.png"]])
    for path in (
        write_parquet(tmp_path / "a.parquet", by_bytes),
        write_parquet(tmp_path / "b.parquet", by_path),
        write_jsonl(tmp_path / "d.jsonl", by_path),
        shard,
    ):
        pairs = opened(path)
        for _ in range(2):
            winner, loser = np.asarray(pairs[0].winner), np.asarray(pairs[0].loser)
            assert (winner[:4] == 0).all() and (winner[4:] == 255).all() and (loser == 90).all()
        turned, depth = pairs.changed.lines()
        assert turned.startswith("1 picture was turned") and turned.endswith(f"{pairs.place(0)} (winner)")
        assert "8 bits" in depth and depth.endswith("(loser)")


def test_a_pipe_is_refused_and_a_bomb_is_a_bad_row(tmp_path: Path) -> None:
    """The pipe is not waited for, and the bomb is not decoded."""
    named = write_pictures(tmp_path, 3)
    (tmp_path / named[1]["loser"]).write_bytes(png(30_000, 30_000, data=b"\0"))
    pairs = opened(write_jsonl(tmp_path / "a.jsonl", named))
    with pytest.raises(BadRow, match="pixels"):
        pairs[1]
    assert pairs[2].caption == "caption 2"
    (tmp_path / named[0]["winner"]).unlink()
    os.mkfifo(tmp_path / named[0]["winner"])
    with pytest.raises(CorruptError, match="refused"):
        opened(tmp_path / "a.jsonl")
