"""The backend with processes of this machine in place of Slurm jobs, and a ``squeue`` that shows what the test says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchbench.errors import MissingError
from benchbench.runtime.backends import slurm_attempt, slurm_backend, slurm_queue, slurm_status
from benchbench.runtime.backends.slurm_backend import SlurmBackend
from benchbench.runtime.backends.slurm_job import SlurmCommand
from benchbench.runtime.backends.slurm_submit import SlurmBusyError
from benchbench.runtime.hashing import digest
from benchbench.runtime.jobs import Job, run

SQUEUE = """#!/bin/sh
echo asked >> {folder}/asked
cat {folder}/queue
"""
SCANCEL = """#!/bin/sh
echo "$@" >> {folder}/scancel
"""
IN_SLURM = """
import json, signal, sys
from benchbench.runtime.backends import slurm_job
signal.pthread_sigmask(signal.SIG_SETMASK, [])  # what submits delays signals
slurm_job.SECONDS_TO_REQUEUE = 0.1
slurm_job.SlurmCommand(**json.loads(sys.argv[1]))()
"""


@dataclass
class Machine:
    """Runs each command in a process whose Slurm job has the next number."""

    folder: Path
    arrays: list[int] = field(default_factory=list)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    on_submit: Callable[[str], object] = lambda job_id: None

    def submit(self, commands: Sequence[SlurmCommand], folder: Path) -> list[str]:
        self.arrays.append(len(commands))
        job_ids = [str(100 + len(self.processes) + i) for i in range(len(commands))]
        for job_id, command in zip(job_ids, commands, strict=True):
            code, environment = (
                [sys.executable, "-c", IN_SLURM, json.dumps(vars(command))],
                {**os.environ, "SLURM_JOB_ID": job_id},
            )
            self.processes[job_id] = subprocess.Popen(code, env=environment)
        self.show()
        for job_id in job_ids:
            self.on_submit(job_id)
        return job_ids

    def show(self, **states: str) -> None:
        """Says what squeue answers: every job runs, but for ``states`` by their ids after a ``_``."""
        shown = dict.fromkeys(self.processes, "RUNNING") | {key[1:]: value for key, value in states.items()}
        part = self.folder / "queue.part"
        part.write_text("".join(f"{job_id}|{state}\n" for job_id, state in shown.items()))
        part.rename(self.folder / "queue")

    def end(self, job_id: str, state: str) -> None:
        """Kills a Slurm job once its command has started, as a lost node does, and shows its state."""

        def kill() -> None:
            started = f'"job": "{job_id}"'
            wait_until(lambda: any(started in path.read_text() for path in self.folder.glob("logs/*.status.jsonl")))
            self.processes[job_id].kill()
            self.processes[job_id].wait()
            self.show(**{f"_{job_id}": state})

        threading.Thread(target=kill).start()


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "it did not happen in 30 s"
        time.sleep(0.02)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    for name, script in (("squeue", SQUEUE), ("scancel", SCANCEL)):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(script.format(folder=tmp_path))
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm_attempt, "GRACE", 0.3)
    monkeypatch.setattr(slurm_queue, "SECONDS", 0.1)
    monkeypatch.setattr(slurm_status, "SECONDS", 0.1)
    monkeypatch.chdir(tmp_path)
    here = Machine(tmp_path)
    yield here
    for process in here.processes.values():
        if process.poll() is None:
            process.kill()
        process.wait()


def make(machine: Machine, name: str, code: str, **needs: Any) -> Job:
    (machine.folder / f"{name}.py").write_text(code)
    return Job(name, (name,), machine.folder / "logs" / f"{name}.log", **needs)


def backend(machine: Machine, slots: int = 9) -> SlurmBackend:
    return SlurmBackend(slots, machine)  # type: ignore[arg-type]


NOTE = "open('order', 'a').write('{name} ')"
REPORT = "from benchbench.runtime.status import report_progress as report; import time, pathlib\n"


def test_jobs_that_start_together_are_one_array(machine: Machine) -> None:
    a, b = (make(machine, name, NOTE.format(name=name)) for name in "ab")
    c = make(machine, "c", NOTE.format(name="c"), after=(a, b))
    assert not run([a, b, c], backend(machine))
    assert machine.arrays == [2, 1]
    assert sorted(Path("order").read_text().split()) == ["a", "b", "c"] and Path("order").read_text().endswith("c ")


def test_an_error_of_the_command_travels_as_data(machine: Machine) -> None:
    code = (
        "import sys\nfrom benchbench.errors import MissingError\nfrom benchbench.runtime.job_process import run_job\n"
    )
    code += "def work(): raise MissingError('weights are missing', 'no file', 'fetch them')\nsys.exit(run_job(work))"
    with pytest.raises(MissingError, match="bad failed") as error:
        run([make(machine, "bad", code)], backend(machine))
    assert error.value.cause == "weights are missing (no file)"
    assert machine.arrays == [1]


def test_a_command_that_fails_without_a_word_is_not_submitted_again(machine: Machine) -> None:
    (failure,) = run([make(machine, "bad", "print('no such module'); raise SystemExit(1)")], backend(machine))
    assert failure.error.cause == "no such module" and machine.arrays == [1]


def test_a_job_that_slurm_ended_is_submitted_again(machine: Machine) -> None:
    """The first of two attempts is killed with its node; the second finds what it has saved."""
    code = REPORT + "report(0.5); seen = pathlib.Path('saved').exists(); pathlib.Path('saved').touch()\n"
    code += "time.sleep(0 if seen else 60)"
    machine.on_submit = lambda job_id: machine.end(job_id, "NODE_FAIL") if job_id == "100" else None
    job = make(machine, "lost", code)
    assert not run([job], backend(machine))
    assert machine.arrays == [1, 1]
    assert "Slurm ended it, NODE_FAIL (Slurm job 100); submitted again" in job.log.read_text()


def test_four_ends_without_progress_are_a_failure(machine: Machine) -> None:
    machine.on_submit = lambda job_id: machine.end(job_id, "OUT_OF_MEMORY")
    job = make(machine, "large", REPORT + "print('loading', flush=True); report(0.1); time.sleep(60)")
    (failure,) = run([job], backend(machine))
    assert machine.arrays == [1, 1, 1, 1]
    assert "OUT_OF_MEMORY (Slurm job 103), the last of 4 times without progress" in failure.error.cause
    assert failure.error.problem == "large failed"


def test_a_command_that_the_system_killed_is_submitted_again(machine: Machine) -> None:
    code = "import os, pathlib\nseen = pathlib.Path('seen').exists(); pathlib.Path('seen').touch()\n"
    assert not run([make(machine, "shot", code + "seen or os.kill(os.getpid(), 9)")], backend(machine))
    assert machine.arrays == [1, 1]


def test_a_job_that_never_begins_says_what_slurm_printed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def submit(commands: Sequence[SlurmCommand], folder: Path) -> list[str]:
        machine.arrays.append(len(commands))
        folder.mkdir(exist_ok=True)
        (folder / f"{len(machine.arrays)}_0_log.err").write_text("No module named submitit\nsrun: error: exited\n")
        machine.show(_1="FAILED", _2="FAILED")
        return [str(len(machine.arrays))]

    monkeypatch.setattr(machine, "submit", submit)
    (failure,) = run([make(machine, "never", "")], backend(machine))
    assert failure.error.problem == "never did not start" and machine.arrays == [1, 1]
    assert failure.error.cause == "Slurm ended it, FAILED (Slurm job 2); its last message: No module named submitit"


def test_the_same_command_finds_its_jobs_in_the_queue(machine: Machine) -> None:
    """The first backend is forgotten, as by SIGKILL; another command with the same log is another job."""
    job = make(machine, "on", "import time, pathlib\nwhile not pathlib.Path('go').exists(): time.sleep(0.05)")
    backend(machine).start(job).poll()
    threading.Timer(0.5, Path("go").touch).start()
    assert not run([job], backend(machine))
    assert machine.arrays == [1]
    other = Job("on", ("on", "x"), job.log)
    assert not run([other], backend(machine))
    assert machine.arrays == [1, 1]


def test_ctrl_c_asks_running_and_waiting_jobs_to_end(machine: Machine) -> None:
    """scancel of this test signals nobody, so the test sends what Slurm would."""
    code = "import pathlib, sys, time\nfrom benchbench.runtime.job_process import run_job\ndef work():\n"
    code += "    pathlib.Path('ready').touch()\n    try: time.sleep(60)\n"
    code += "    except KeyboardInterrupt: pathlib.Path('saved').touch(); raise\nsys.exit(run_job(work))"
    jobs = [make(machine, "runs", code), make(machine, "waits", "", slots=9)]

    def interrupt() -> None:
        wait_until(Path("ready").exists)
        os.kill(os.getpid(), signal.SIGINT)
        wait_until(lambda: Path("scancel").exists() and "TERM" in Path("scancel").read_text())
        entry = next(json.loads(line) for line in jobs[0].status.read_text().splitlines())
        os.kill(entry["pid"], signal.SIGTERM)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run(jobs, backend(machine))
    assert Path("saved").exists() and machine.arrays == [1]
    asked = Path("scancel").read_text().splitlines()
    assert asked == ["--quiet --state=PENDING 100", "--quiet --signal=TERM --state=RUNNING 100"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_jobs_go_on_without_the_waiting_command(
    machine: Machine, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    old = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as in a terminal, also where nohup started the tests
    try:
        job = make(machine, "on", "import time; time.sleep(60)")
        machine.on_submit = lambda _: threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
        with pytest.raises(KeyboardInterrupt):
            run([job], backend(machine))
    finally:
        signal.signal(signal.SIGHUP, old)
    assert not Path("scancel").exists() and machine.processes["100"].poll() is None
    assert "the jobs in the queue go on" in capsys.readouterr().err


def test_a_controller_that_does_not_answer_is_asked_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both programs fail at first; a job of an earlier command is not submitted twice meanwhile."""
    monkeypatch.setattr(slurm_backend, "PAUSE", 0.2)
    job = make(machine, "on", NOTE.format(name="on"))
    answers, submit = (
        [SlurmBusyError("Slurm does not answer", "Unable to contact slurm controller", "wait")],
        machine.submit,
    )

    def busy(commands: Sequence[SlurmCommand], folder: Path) -> list[str]:
        if answers:
            raise answers.pop()
        return submit(commands, folder)

    monkeypatch.setattr(machine, "submit", busy)
    assert not run([job], backend(machine))
    assert "Slurm does not answer (Unable to contact slurm controller); trying again" in capsys.readouterr().err
    Path("queue").unlink()
    Path("bin/squeue").write_text("#!/bin/sh\nexit 1\n")
    again = backend(machine)
    assert again.start(job).poll() is None and machine.arrays == [1]


@pytest.mark.parametrize("noted", ["--user=x", "../7", "7_", 7.5, None])
def test_a_record_that_is_no_job_is_not_followed(machine: Machine, noted: object) -> None:
    job = make(machine, "on", "")
    job.log.parent.mkdir()
    record = {"job": noted, "command": digest(list(job.command))}
    job.log.with_suffix(".slurm.json").write_text(json.dumps(record))
    assert backend(machine).start(job).recorded == ""


def test_slurm_is_asked_about_all_jobs_at_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_queue, "SECONDS", 0.5)
    started = time.monotonic()
    assert not run([make(machine, f"n{i}", "import time; time.sleep(0.5)") for i in range(5)], backend(machine))
    assert len(Path("asked").read_text().split()) <= 2 * (time.monotonic() - started) + 1
