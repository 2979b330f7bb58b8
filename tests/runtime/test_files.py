"""Files appear whole or not at all; a full disk and a second process are said in words."""

import errno
import os
import threading
from pathlib import Path

import pytest

from benchbench.errors import RunError
from benchbench.runtime.files import locked, sweep, write_atomic


def test_a_write_replaces_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_atomic(tmp_path / "deep" / "file", b"old")
    write_atomic(tmp_path / "deep" / "file", b"new")
    assert (tmp_path / "deep" / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path / "deep") == ["file"]


def test_a_full_disk_ends_in_the_path_and_the_free_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomic(tmp_path / "file", b"old")

    def full(path: Path, data: bytes) -> int:
        with open(path, "wb") as handle:
            handle.write(data[:1])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunError) as raised:
        write_atomic(tmp_path / "file", b"new")
    assert str(tmp_path / "file") in raised.value.problem and "full" in raised.value.problem
    assert "MB are free" in raised.value.cause
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_device_that_is_really_full(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchbench.runtime.files import writing

    with pytest.raises(RunError, match="the disk is full"), writing(Path("/dev/full")):
        Path("/dev/full").write_bytes(b"x" * 100_000)


def test_a_folder_that_is_a_file_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(RunError, match="could not be written"):
        write_atomic(tmp_path / "store" / "file", b"x")


def test_sweep_removes_only_what_writers_of_that_file_left(tmp_path: Path) -> None:
    for name in (".a.json.1-2.tmp", ".b.json.1-2.tmp", "a.json"):
        (tmp_path / name).touch()
    sweep(tmp_path, "a.json")
    assert sorted(os.listdir(tmp_path)) == [".b.json.1-2.tmp", "a.json"]


def test_the_second_one_waits_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    order: list[str] = []
    entered, waiting = threading.Event(), threading.Event()

    def first() -> None:
        with locked(tmp_path / "unit.lock", said.append):
            entered.set()
            waiting.wait(10)
            order.append("first")

    def say(line: str) -> None:
        said.append(line)
        waiting.set()

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(10)
    with locked(tmp_path / "unit.lock", say):
        order.append("second")
    thread.join()
    assert order == ["first", "second"] and len(said) == 1 and "another process" in said[0]
