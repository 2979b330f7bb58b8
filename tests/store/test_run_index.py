"""A list of runs trusts its index while the files are as they were, and reads everything else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchbench.runtime.sealed import find_sealed, write_sealed
from benchbench.store import run_index, runs
from benchbench.store.metrics import FILE
from benchbench.store.run_index import INDEX, ShownRun, shown_runs
from tests.store.test_runs import make


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run and an unfinished one, which are listed once; files settle at once."""
    monkeypatch.setattr(run_index, "SETTLED", -1)
    for name in ("done", "left"):
        folder = make(tmp_path, name, done=name == "done")
        (folder / FILE).write_text(json.dumps({"samples": 8}) + "\n")
    assert [run.state for run in shown_runs(tmp_path)] == ["complete", "resumable"]
    return tmp_path


def reads(store: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[ShownRun]]:
    """Returns the names of the runs that were read, and the list."""
    names: list[str] = []

    def read(folder: Path) -> runs.Run:
        names.append(folder.name)
        return runs.read(folder)

    monkeypatch.setattr(run_index, "read", read)
    return names, shown_runs(store)


def test_what_did_not_change_is_not_read_again(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, found = reads(store, monkeypatch)
    assert names == [] and [(run.id, run.state, run.seen) for run in found] == [
        ("done", "complete", 8),
        ("left", "resumable", 8),
    ]
    assert found[0].path == store / "runs" / "done"


def metrics_grow(folder: Path) -> None:
    with (folder / FILE).open("a") as file:
        file.write(json.dumps({"samples": 16}) + "\n")


def weights_change(folder: Path) -> None:
    (folder / runs.ADAPTER).write_bytes(b"weightz")


def weights_go(folder: Path) -> None:
    (folder / runs.ADAPTER).unlink()


def done_goes(folder: Path) -> None:
    (folder / "done.json").unlink()


def weights_of_another_inode(folder: Path) -> None:
    """The name of the weights leads to another file of the same size and times."""
    path, other = folder / runs.ADAPTER, folder.parent.parent / "other"
    other.write_bytes(b"weightz")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(other, path)


@pytest.mark.parametrize(
    ("change", "state", "seen"),
    [
        (metrics_grow, "complete", 16),
        (weights_change, "damaged", 8),
        (weights_go, "damaged", 8),
        (done_goes, "resumable", 8),
        (weights_of_another_inode, "damaged", 8),
    ],
)
def test_what_changed_is_read(
    store: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], state: str, seen: int
) -> None:
    change(store / "runs" / "done")
    names, found = reads(store, monkeypatch)
    assert names == ["done"] and (found[0].state, found[0].seen) == (state, seen)


def test_a_damaged_run_is_read_each_time(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_change(store / "runs" / "done")
    for _ in range(2):
        assert reads(store, monkeypatch)[0] == ["done"]


def test_runs_come_and_go(store: Path) -> None:
    make(store, "new")
    assert [run.id for run in shown_runs(store)] == ["done", "left", "new"]
    (store / "runs" / "done").rename(store / "away")
    assert [run.id for run in shown_runs(store)] == ["left", "new"]
    assert set(find_sealed(store / "runs" / INDEX) or {}) == {"left", "new"}


@pytest.mark.parametrize("content", ["{", '{"done": 3, "left": ["x"]}', '{"done": [1, 2, 3, 4, 5], "checksum": "0"}'])
def test_the_index_is_only_a_cache(store: Path, content: str) -> None:
    first = shown_runs(store)
    (store / "runs" / INDEX).write_text(content)
    assert shown_runs(store) == first


def test_a_row_of_another_shape_is_read_anew(store: Path) -> None:
    first, index = shown_runs(store), find_sealed(store / "runs" / INDEX) or {}
    for wrong in (3, ["x"], [1, 2, 3, 4, 5], ["a", "complete", 1, 1, {"gone": [1, 2, 3, 4]}]):
        write_sealed(store / "runs" / INDEX, {**index, "done": wrong})
        assert shown_runs(store) == first


def test_a_run_behind_a_link_is_read_each_time(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (store / "runs" / "done").rename(store / "elsewhere")
    (store / "runs" / "done").symlink_to(store / "elsewhere")
    for _ in range(2):
        names, found = reads(store, monkeypatch)
        assert names == ["done"] and found[0].state == "complete"


def test_what_changed_just_now_is_not_trusted(tmp_path: Path) -> None:
    """Two writes within one tick of a file system's clock look like one."""
    make(tmp_path, "a")
    assert [run.state for run in shown_runs(tmp_path)] == ["complete"]
    assert find_sealed(tmp_path / "runs" / INDEX) in (None, {})
