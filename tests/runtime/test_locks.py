"""Locks of folders that can only be read, and who is waited for."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchbench.errors import RunError
from benchbench.runtime.files import write_atomic
from benchbench.runtime.locks import LOCKS, holder, locked

HOLD = """
import sys
from pathlib import Path
from benchbench.runtime.locks import locked
with locked(Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.readline()
"""


def read_only(folder: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every opening for writing below a folder fail, as on a read-only disk, also for root."""
    opening, access = os.open, os.access

    def open_(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and str(path).startswith(str(folder)):
            raise OSError(number, os.strerror(number), str(path))
        return opening(path, flags, *rest, **named)

    def access_(path: Any, mode: int, **named: Any) -> bool:
        return not (mode & os.W_OK and str(path).startswith(str(folder))) and access(path, mode, **named)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "access", access_)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_that_cannot_be_written_is_read_without_a_lock(
    number: int, exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "unit.lock"
    if exists:
        lock.touch()
    read_only(tmp_path, number, monkeypatch)
    inside = []
    with locked(lock, pytest.fail):
        inside.append(1)
    assert inside == [1] and lock.exists() is exists


def test_a_lock_of_another_user_in_a_folder_of_ours_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two users would write at a time."""
    access: Callable[..., bool] = os.access
    read_only(tmp_path, errno.EACCES, monkeypatch)
    monkeypatch.setattr(os, "access", access)
    with pytest.raises(RunError, match=r"unit\.lock could not be written"), locked(tmp_path / "unit.lock", pytest.fail):
        pytest.fail("entered")


def test_what_is_written_in_spite_of_it_fails_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "x")

    read_only(tmp_path, errno.EROFS, monkeypatch)
    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(RunError, match="new could not be written"), locked(tmp_path / "unit.lock", pytest.fail):
        write_atomic(tmp_path / "new", b"")


def test_who_waits_is_told_for_whom(tmp_path: Path) -> None:
    lock, said = tmp_path / "unit.lock", list[str]()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin and process.stdout and process.stdout.readline() == "held\n"

    def log(line: str) -> None:
        said.append(line)
        threading.Timer(0.1, lambda: (process.stdin.write("\n"), process.stdin.flush())).start()  # type: ignore[union-attr]

    with locked(lock, log):
        who = f" ({process.pid}: {sys.executable} -c" if LOCKS.exists() else ""  # only Linux tells
        assert f"another process{who}" in said[0]
    assert process.wait(20) == 0 and len(said[0]) < 400


def test_nobody_is_named_where_nobody_can_tell(tmp_path: Path) -> None:
    assert holder(tmp_path / "missing.lock") == ""
    (tmp_path / "free.lock").touch()
    assert holder(tmp_path / "free.lock") == ""
