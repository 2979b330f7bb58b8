"""Files appear whole or not at all; a full disk and a second process are said in words."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchbench.errors import RunError
from benchbench.runtime.file_errors import writing
from benchbench.runtime.files import replacing, replacing_folder, sweep, write_atomic
from benchbench.runtime.locks import locked


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


def test_sweep_removes_folders_too(tmp_path: Path) -> None:
    (tmp_path / ".00000008.1-2.tmp" / "inner").mkdir(parents=True)
    sweep(tmp_path)
    assert not os.listdir(tmp_path)


@pytest.fixture
def shared_umask() -> Iterator[None]:
    before = os.umask(0o002)
    yield
    os.umask(before)


def private(path: Path) -> None:
    """Writes as safetensors does: the file is readable for its owner alone."""
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.chmod(0o600)
    path.write_bytes(b"new")


@pytest.mark.usefixtures("shared_umask")
def test_a_librarys_file_gets_the_mode_of_the_umask(tmp_path: Path) -> None:
    with replacing(tmp_path / "deep" / "weights") as temporary:
        assert temporary.parent == tmp_path / "deep"
        private(temporary)
    with replacing_folder(tmp_path / "unet") as folder:
        (folder / "inner").mkdir()
        private(folder / "inner" / "weights")
    files = [tmp_path / "deep" / "weights", tmp_path / "unet" / "inner" / "weights"]
    assert [path.stat().st_mode & 0o777 for path in files] == [0o664, 0o664]
    assert (tmp_path / "unet").stat().st_mode & 0o777 == 0o775


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_the_block_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()
    with pytest.raises(error), replacing(tmp_path / "file") as temporary:
        temporary.write_bytes(b"half")
        raise error
    with pytest.raises(error), replacing_folder(tmp_path / "folder") as temporary:
        (temporary / "half").touch()
        raise error
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"old" and os.listdir(tmp_path / "folder") == ["old"]


def test_a_folder_replaces_one_of_its_name(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with replacing_folder(tmp_path / "deep" / "folder") as temporary:
            (temporary / name).touch()
    assert os.listdir(tmp_path / "deep") == ["folder"] and os.listdir(tmp_path / "deep" / "folder") == ["new"]


def test_the_old_folder_keeps_its_name_where_the_new_one_cannot_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()
    plain = os.replace

    def once(source: Path, target: Path) -> None:
        if target.name == "folder" and "old-" not in source.name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        plain(source, target)

    monkeypatch.setattr(os, "replace", once)
    with pytest.raises(RunError, match="could not be written"), replacing_folder(tmp_path / "folder") as temporary:
        (temporary / "new").touch()
    assert os.listdir(tmp_path) == ["folder"] and os.listdir(tmp_path / "folder") == ["old"]


def test_an_error_without_a_number_says_what_the_library_said() -> None:
    with pytest.raises(RunError) as raised, writing(Path("weights")):
        raise OSError("the header is too large")
    assert raised.value.cause == "the header is too large"


def test_the_second_one_waits_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    order: list[str] = []
    entered, waiting = threading.Event(), threading.Event()

    def first() -> None:
        with locked(tmp_path / "unit.lock", said.append):
            entered.set()
            waiting.wait(10)
            order.append("first")

    def log(line: str) -> None:
        said.append(line)
        waiting.set()

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(10)
    with locked(tmp_path / "unit.lock", log):
        order.append("second")
    thread.join()
    assert order == ["first", "second"] and len(said) == 1 and "another process" in said[0]
