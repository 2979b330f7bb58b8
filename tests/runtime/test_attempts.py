"""The last attempt at a job, read by a process that did not start it: real processes, one of them killed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchbench.runtime.attempts import SILENCE, last_attempt
from benchbench.runtime.status import STARTED, VARIABLE, WHERE, record_done

JOB = """
import subprocess, sys, time
from benchbench.errors import RunError
from benchbench.runtime.status import report_done, report_error, report_progress, report_start
report_start()
report_progress(0.4)
if sys.argv[1] == "parent":
    subprocess.run([sys.executable, "-c", sys.argv[2], "done"], check=True)
if sys.argv[1] in ("sleep", "parent"):
    print("sleeping", flush=True)
    time.sleep(100)
elif sys.argv[1] == "fail":
    report_error(RunError("it failed", "the reward is NaN", "use another one"))
else:
    report_done()
"""


def start(status: Path, what: str, **more: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != STARTED}
    words = [sys.executable, "-c", JOB, what, JOB]
    return subprocess.Popen(
        words, env={**environment, VARIABLE: str(status), **more}, stdout=subprocess.PIPE, text=True
    )


def test_a_killed_job_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    status = tmp_path / "a.status.jsonl"
    assert last_attempt(status).state == "left"
    with start(status, "sleep", **{WHERE: "slurm 1234"}) as running:
        assert running.stdout and running.stdout.readline() == "sleeping\n"
        attempt = last_attempt(status)
        assert (attempt.state, attempt.where, round(attempt.progress, 2)) == ("running", "slurm 1234", 0.4)
        running.kill()
    attempt = last_attempt(status)
    assert (attempt.state, attempt.progress) == ("stopped", 0.4)

    assert start(status, "fail").wait() == 0
    failed = last_attempt(status)
    assert failed.state == "failed" and failed.error is not None and failed.error.cause == "the reward is NaN"
    assert start(status, "done").wait() == 0
    assert last_attempt(status).state == "done"


def test_a_child_of_the_job_is_not_the_job(tmp_path: Path) -> None:
    """The child inherits the variables, says that it has started and ended, and the job is still running."""
    status = tmp_path / "a.status.jsonl"
    with start(status, "parent") as running:
        assert running.stdout and running.stdout.readline() == "sleeping\n"
        attempt = last_attempt(status)
        assert (attempt.state, attempt.where) == ("running", f"process {running.pid}")
        running.kill()
    assert last_attempt(status).state == "stopped"


def test_a_job_on_another_machine_runs_while_it_shows_signs(tmp_path: Path) -> None:
    status = tmp_path / "a.status.jsonl"
    status.write_text(json.dumps({"pid": 71, "host": f"not-{socket.gethostname()}", "where": ""}) + "\n")
    attempt = last_attempt(status)
    assert (attempt.state, attempt.where) == ("running", f"process 71 on not-{socket.gethostname()}")
    long_ago = time.time() - SILENCE - 1
    os.utime(status, (long_ago, long_ago))
    assert last_attempt(status).state == "stopped"


def test_what_was_found_complete_is_recorded_once(tmp_path: Path) -> None:
    status = tmp_path / "logs" / "a.status.jsonl"
    for _ in range(3):
        record_done(status)
    assert last_attempt(status).state == "done" and len(status.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    "line",
    [b"7", b"null", b"\xff", b"[" * 50_000, b'{"host": 7}', b'{"progress": "x", "error": 3}', b'{"progress": NaN}'],
    ids=lambda line: line[:20].decode(errors="replace"),
)
def test_lines_that_are_not_ours_do_not_end_it(tmp_path: Path, line: bytes) -> None:
    status = tmp_path / "a.status.jsonl"
    status.write_bytes(line + b"\n")
    assert last_attempt(status).state in ("left", "stopped")
