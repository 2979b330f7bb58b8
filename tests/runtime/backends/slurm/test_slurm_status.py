"""A Slurm job writes into the status file, and the reader finds it there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchbench.runtime.backends.slurm_status import SlurmStatus, write_exit, write_start

REQUEUE = """
import json, signal, sys, types
sys.modules["submitit"], helpers = types.ModuleType("submitit"), types.ModuleType("submitit.helpers")
sys.modules["submitit.helpers"], helpers.DelayedSubmission = helpers, lambda function: function
from benchbench.runtime.backends.slurm_job import SlurmCommand
words = json.loads(sys.argv[1])
command = SlurmCommand(**words)
def on_notice(*_):  # as submitit's
    again = command.checkpoint()
    assert again is None or vars(again) == words, "it holds more than words"
    print("requeued" if again else "ended")
    sys.exit(0)
signal.signal(signal.SIGUSR2, on_notice)
command()
"""
SAVES = """
import pathlib, sys, time
from benchbench.runtime.job_process import run_job
def work():
    pathlib.Path('ready').touch()
    try: time.sleep(60)
    except KeyboardInterrupt: time.sleep(0.3); pathlib.Path('saved').touch(); raise
sys.exit(run_job(work))
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "job.status.jsonl"


def report(file: Path, pid: int, **entry: object) -> None:
    with file.open("a") as lines:
        lines.write(json.dumps({"pid": pid, **entry}) + "\n")


def test_tries_are_starts_without_progress(file: Path) -> None:
    status = SlurmStatus(file)

    def tries() -> int:
        status.read(at_once=True)
        return status.tries

    for number, (fractions, expected) in enumerate([((0.1, 0.4), 1), ((0.2,), 2), ((0.4,), 3), ((0.5,), 1), ((), 2)]):
        status.follow(str(number))
        write_start(file, str(number), 70 + number)
        for fraction in fractions:
            report(file, 70 + number, progress=fraction)
        assert tries() == expected
        write_exit(file, str(number), 70 + number, 130)
        status.read(at_once=True)
        assert status.exit == 130
    report(file, 3, progress=0.9)
    assert tries() == 2, "another process wrote it"


def test_a_requeued_job_begins_again(file: Path) -> None:
    """Its first end is no end, lines of other Slurm jobs do not count, and half a line is read once it is whole."""
    status = SlurmStatus(file)
    report(file, 1, error={"problem": "an earlier one", "cause": "", "remedy": "", "code": 5})
    status.follow("7_1")
    write_start(file, "7_0", 70)
    write_exit(file, "7_0", 70, 0)
    status.read(at_once=True)
    assert (status.began, status.exit, status.error) == (False, None, None)
    write_start(file, "7_1", 71)
    write_exit(file, "7_1", 71, 130)
    write_start(file, "7_1", 72)
    with file.open("ab") as lines:
        lines.write(bytes(range(256)) + b'\n[1]\n{"slurm": 3}\n{"pid": 72, "progress": 0.')
    status.read(at_once=True)
    assert (status.began, status.exit, status.tries, status.progress) == (True, None, 2, 0.0)
    with file.open("ab") as lines:
        lines.write(b"25}\n")
    status.read(at_once=True)
    assert status.progress == 0.25


@pytest.mark.parametrize(("starts", "expected"), [(2, "requeued"), (3, "ended")])
def test_a_notice_saves_and_requeues(file: Path, starts: int, expected: str) -> None:
    """Three requeues without progress are enough: what cannot save within the limit would go on for ever."""
    (file.parent / "saves.py").write_text(SAVES)
    for _ in range(starts):
        write_start(file, "7", 1)
    words = {"words": ["saves"], "environment": {}, "log": "log", "status": str(file), "record": "record.json"}
    code = [sys.executable, "-c", REQUEUE, json.dumps(words)]
    process = subprocess.Popen(code, env={**os.environ, "SLURM_JOB_ID": "7"}, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not Path("ready").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGUSR2)
    assert process.communicate(timeout=30)[0] == f"{expected}\n"
    assert Path("saved").exists()
    status = SlurmStatus(file)
    status.follow("7")
    status.read()
    assert (status.tries, status.exit) == (starts + 1, None if expected == "requeued" else 130)
