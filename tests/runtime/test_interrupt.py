"""Signals to a runner, to its jobs, and the end of a runner without a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchbench.runtime import interrupt as module
from benchbench.runtime.interrupt import Interrupt, signals_as_ctrl_c
from benchbench.runtime.jobs import Job, LocalBackend, run
from benchbench.runtime.status import VARIABLE

CHILD = """
import os, pathlib, sys, time
from benchbench.runtime.job_process import run_job
def work():
    pathlib.Path('pid.part').write_text(str(os.getpid()))
    os.rename('pid.part', 'pid')
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.5)
        pathlib.Path('saved').touch()
        raise
sys.exit(run_job(work))
"""
STUBBORN = """
import os, signal, pathlib, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
pathlib.Path('pid.part').write_text(str(os.getpid()))
os.rename('pid.part', 'pid')
time.sleep(60)
"""
RUNNER = """
from pathlib import Path
from benchbench.runtime.jobs import Job, LocalBackend, run
run([Job("child", ("child",), Path("child.log"))], LocalBackend(1))
"""


@pytest.fixture(autouse=True)
def _hang_up_is_not_ignored() -> Iterator[None]:
    """As in a terminal, also where the tests themselves were started by nohup."""
    old = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, old)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def runner(here: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a runner in a process of its own, whose one job has the given code, and waits until that works."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str) -> subprocess.Popen[bytes]:
        (here / "child.py").write_text(code)
        process = subprocess.Popen([sys.executable, "-c", RUNNER], stderr=subprocess.DEVNULL, start_new_session=True)
        started.append(process)
        wait_until(lambda: (here / "pid").exists())
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "it did not happen in 30 s"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Returns True if a process has ended; a zombie that nobody has waited for has, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_jobs_and_waits_until_they_have_saved(here: Path, number: signal.Signals) -> None:
    (here / "child.py").write_text(CHILD)

    def interrupt() -> None:
        wait_until(lambda: (here / "pid").exists())
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt).start()
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        run([Job("child", ("child",), here / "child.log")], LocalBackend(1), "testing")
    assert (here / "saved").exists() and signal.getsignal(number) is before
    with pytest.raises(ProcessLookupError):
        os.kill(int((here / "pid").read_text()), 0)


def test_ctrl_c_on_a_terminal_reaches_a_job_twice_and_counts_once(
    here: Path, runner: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    """The terminal signals the whole group and the runner passes it on, while the job is saving."""
    process = runner(CHILD)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) != 0
    assert (here / "saved").exists()


def test_a_second_signal_kills_what_does_not_end(here: Path, runner: Callable[[str], subprocess.Popen[bytes]]) -> None:
    process = runner(STUBBORN)
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) != 0
    assert gone(int((here / "pid").read_text()))


def test_a_job_saves_and_ends_when_its_runner_is_killed(
    here: Path, runner: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    process = runner(CHILD)
    process.kill()
    process.wait()
    wait_until(lambda: (here / "saved").exists())
    wait_until(lambda: gone(int((here / "pid").read_text())))


def test_a_hang_up_that_nohup_ignores_stays_ignored() -> None:
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt(lambda _: None), signals_as_ctrl_c():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGHUP, old)


def test_a_training_that_is_a_job_counts_two_signals_in_five_seconds_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setenv(VARIABLE, str(tmp_path / "status"))
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt), Interrupt(said.append) as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.requested and said == ["stopping after this rollout; again to stop at once"]
        now[0] += 6
        os.kill(os.getpid(), signal.SIGHUP)


def test_a_command_ends_on_sigterm_as_on_ctrl_c() -> None:
    code = """
import os, signal, threading, time
from benchbench.cli import listing, main
def wait(*_): os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)
listing.table = wait
raise SystemExit(main.main(["list", "methods"]))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=50).returncode == 130


def test_the_notice_of_slurm_ends_a_job_as_sigterm_does_and_never_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preemption sends SIGTERM, and up to 30 seconds later SIGUSR2, while the job saves."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setenv(VARIABLE, str(tmp_path / "status"))
    with Interrupt(lambda _: None) as interrupt:
        os.kill(os.getpid(), signal.SIGUSR2)
        assert interrupt.requested and interrupt.number == signal.SIGUSR2
        now[0] += 30
        os.kill(os.getpid(), signal.SIGUSR2)
    with pytest.raises(KeyboardInterrupt), signals_as_ctrl_c():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            now[0] += 30
            os.kill(os.getpid(), signal.SIGUSR2)
            (tmp_path / "saved").touch()
    assert (tmp_path / "saved").exists()
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


def test_the_notice_of_slurm_means_nothing_outside_a_job() -> None:
    with Interrupt(lambda _: None), signals_as_ctrl_c():
        assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
