"""A complete store is read where nothing can be written: by another user, or on a read-only disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from benchbench.errors import RunError
from benchbench.evaluate.report import EvalResult, evaluate
from benchbench.types import PromptSet


def result(store: Path, rewards: list[str], said: list[str]) -> EvalResult:
    prompts = PromptSet("two", ("a red circle", "a blue square"), "here", "CC0")
    options: dict[str, Any] = {"images_per_prompt": 2, "sampler": {"steps": 2}, "device": "cpu", "log": said.append}
    return evaluate("shapes", [], prompts, rewards, store=store, **options)


def refuse_writing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way to change something below the folder fails, also for root."""

    def below(path: Any) -> bool:
        return str(path).startswith(str(folder))

    def refuse(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def refused(path: Any, *rest: Any, **named: Any) -> Any:
            if below(path) and not (name == "mkdir" and os.path.isdir(path)):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return real(path, *rest, **named)

        monkeypatch.setattr(owner, name, refused)

    opening, access = os.open, os.access

    def open_(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and below(path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opening(path, flags, *rest, **named)

    def access_(path: Any, mode: int, **named: Any) -> bool:
        return not (mode & os.W_OK and below(path)) and access(path, mode, **named)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "access", access_)
    for name in ("touch", "write_bytes", "write_text", "unlink", "chmod", "rename", "mkdir"):
        refuse(Path, name)
    for name in ("replace", "unlink", "remove"):
        refuse(os, name)


@pytest.mark.parametrize("reward", ["shapes-colour", "shapes-colour=1,shapes-aesthetic=1"])
def test_a_complete_store_is_read_without_a_write(reward: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, said = tmp_path / "store", list[str]()
    monkeypatch.setenv("BENCH_CACHE", str(store / "cache"))
    before = result(store, [reward], said)
    files = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    for index in store.rglob("index.*"):  # without the cache everything is checked again
        index.unlink()
        del files[index]
    refuse_writing(store, monkeypatch)
    again = result(store, [reward], said)
    assert again.table == before.table and again.folder == before.folder
    assert said[-1].startswith("made 0 images (0 a second)")
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()} == files


def test_what_is_missing_there_is_an_error_with_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    result(store, ["shapes-colour"], [])
    refuse_writing(store, monkeypatch)
    with pytest.raises(RunError, match="could not be written") as error:
        result(store, ["shapes-aesthetic"], [])
    assert str(store) in error.value.problem and "Read-only" in error.value.cause
