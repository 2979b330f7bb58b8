"""The status file: what a job writes into it, and what is read out of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchbench.errors import BenchError, CorruptError, MissingError, RunError, UsageError, error_class
from benchbench.runtime import status
from benchbench.runtime.progress import progress
from benchbench.runtime.status import StatusReader


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "job.status.jsonl"
    monkeypatch.setenv(status.VARIABLE, str(path))
    return path


@pytest.mark.parametrize("kind", [UsageError, MissingError, CorruptError, RunError])
def test_an_error_is_read_as_it_was_written(file: Path, kind: type[BenchError]) -> None:
    reader = StatusReader(file)
    status.report_error(kind("it is wrong", "a\nb", "do \u00e9"))
    reader.read(os.getpid())
    assert type(reader.error) is kind
    assert (reader.error.problem, reader.error.cause, reader.error.remedy) == ("it is wrong", "a\nb", "do \u00e9")


def test_codes_of_no_class_are_failed_runs() -> None:
    assert [error_class(code) for code in (1, 2, 5, -9)] == [RunError, UsageError, RunError, RunError]


def test_only_the_process_that_is_followed_is_read(file: Path) -> None:
    """Lines of earlier attempts with the same process id, and of other processes, do not count."""
    status.report_progress(1.0)
    reader = StatusReader(file)
    status.report_progress(0.25)
    reader.read(os.getpid() + 1)
    assert reader.progress == 0
    status.report_progress(0.5)
    reader.read(os.getpid())
    assert reader.progress == 0.5


def test_the_last_note_is_kept_and_a_foreign_one_is_cut(file: Path) -> None:
    """A note beside the progress stays until another comes; what is no text is none."""
    reader = StatusReader(file)
    status.report_progress(0.1, "reward 16.9")
    status.report_progress(0.2)
    reader.read(os.getpid())
    assert (reader.progress, reader.note) == (0.2, "reward 16.9")
    with file.open("a") as more:
        more.write(json.dumps({"pid": os.getpid(), "note": 3}) + "\n")
        more.write(json.dumps({"pid": os.getpid(), "note": "x" * 1000}) + "\n")
    reader.read(os.getpid())
    assert reader.note == "x" * 80


def test_a_line_counts_once_it_is_whole(file: Path) -> None:
    reader = StatusReader(file)
    reader.read(1)  # there is no file yet
    file.write_bytes(b'{"pid": 1, "progr')
    reader.read(1)
    assert reader.progress == 0
    with file.open("ab") as more:
        more.write(b'ess": 0.75}\n{"pid": 1, "progress": 0.5}\n')
    reader.read(1)
    assert reader.progress == 0.75


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe",
        b"[" * 50_000,
        b"7",
        b"null",
        b'{"pid": 1, "progress": NaN}',
        b'{"pid": 1, "progress": 7}',
        b'{"pid": 1, "progress": "0.5"}',
        b'{"pid": 1, "error": "no"}',
        b'{"pid": 1, "error": {"problem": "a", "cause": "b", "code": 5}}',
        b'{"pid": 1, "progress": 0.5, "x": "' + b"x" * 100_000 + b'"}',
    ],
    ids=lambda line: line[:40].decode(errors="replace"),
)
def test_a_line_that_is_not_ours_is_skipped(file: Path, line: bytes) -> None:
    reader = StatusReader(file)
    file.write_bytes(line + b"\n")
    reader.read(1)
    assert reader.progress == 0 and reader.error is None


def test_progress_is_reported_a_hundred_times_at_most(file: Path) -> None:
    """1,000 steps of which 500 were there: 50 hundredths are left to report."""
    with progress(1000, "drawing", done=490) as bar:
        for _ in range(510):
            bar.advance()
    assert 50 <= len(file.read_text().splitlines()) <= 53
    with progress(10, "drawing", silent=True) as bar:
        bar.advance(10)
    assert len(file.read_text().splitlines()) <= 53


def test_a_status_file_that_cannot_be_written_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(status.VARIABLE, str(tmp_path / "no" / "folder"))
    status.report_progress(0.5)
    monkeypatch.delenv(status.VARIABLE)
    status.report_progress(0.5)
    assert not list(tmp_path.iterdir())
