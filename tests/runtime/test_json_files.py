"""One reader of JSON: an object, or an error that names the file, or None where the value is derived again."""

from pathlib import Path

import pytest

from benchbench.errors import CorruptError
from benchbench.runtime.json_files import find_list, find_object, last_line, read_lines, read_object, write_json

DEEP = b"[" * 100_000 + b"]" * 100_000
DAMAGED = [b"", b"{", b"[]", b"3", b"null", b"\xff\xfe{}", b"\0" * 40, DEEP, b'{"a": ' + DEEP + b"}"]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_what_is_no_object_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(CorruptError) as raised:
        read_object(tmp_path / "record.json", "make it again")
    assert str(tmp_path / "record.json") in raised.value.problem
    assert raised.value.cause and raised.value.remedy == "make it again"
    assert find_object(tmp_path / "record.json") is None


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        assert find_object(path) is None and find_list(path) is None
        with pytest.raises(CorruptError, match="cannot be read"):
            read_object(path, "make it again")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "deep" / "a.json", {"naïve": [1, 0.1]})
    assert read_object(tmp_path / "deep" / "a.json", "") == find_object(tmp_path / "deep" / "a.json")
    assert find_object(tmp_path / "deep" / "a.json") == {"naïve": [1, 0.1]}
    assert find_list(tmp_path / "deep" / "a.json") is None
    write_json(tmp_path / "b.json", [1, 2], indent=None)
    assert find_list(tmp_path / "b.json") == [1, 2] and (tmp_path / "b.json").read_text() == "[1, 2]\n"


def test_bad_lines_are_left_out_and_said(tmp_path: Path) -> None:
    path, said = tmp_path / "metrics.jsonl", list[str]()
    path.write_bytes(b'{"n": 1}\n\0\0\0{"n": 2}\n[3]\n\xff\n{"n": 4}\n' + DEEP + b"\n")
    assert [row["n"] for row in read_lines(path, said.append)] == [1, 4]
    assert len(said) == 1 and str(path) in said[0] and "4 of its lines" in said[0] and "first line 2" in said[0]
    last = last_line(path)
    assert last is not None and last["n"] == 4


def test_a_line_cut_short_by_a_kill_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"n": 1}\n{"n": 2')
    assert read_lines(path, pytest.fail) == [{"n": 1}] and last_line(path) == {"n": 1}
    path.write_text('{"n": 1}\n{"n": 2}')
    assert len(read_lines(path, pytest.fail)) == 2


def test_no_file_is_no_line_and_a_folder_is_named(tmp_path: Path) -> None:
    assert read_lines(tmp_path / "none", pytest.fail) == [] and last_line(tmp_path / "none") is None
    with pytest.raises(CorruptError, match="cannot be read"):
        read_lines(tmp_path, print)
