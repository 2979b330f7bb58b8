"""The backend in a real Slurm of one node: `make test-slurm`, as root, with slurm-wlm, munge and submitit installed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchbench.errors import UsageError
from benchbench.runtime.backends.choice import BackendChoice
from benchbench.runtime.jobs import Failure, Job, run
from tests.runtime.backends.slurm.cluster import cluster, missing

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.environ.get("BENCH_TEST_SLURM") != "1", reason="`make test-slurm` starts a Slurm"),
]
ROOT = Path(__file__).parents[4]
COUNT = """
import os, pathlib, sys, time
from benchbench.runtime.job_process import run_job
from benchbench.runtime.status import report_progress
saved = pathlib.Path('{name}.saved')
def work():
    n = int(saved.read_text()) if saved.exists() else 0
    try:
        while n < {steps}:
            time.sleep(1)
            n += 1
            with open('{name}.steps', 'a') as steps: steps.write(f'{{n}} ')
            if n % 5 == 0: saved.write_text(str(n))
            report_progress(n / {steps})
    except KeyboardInterrupt:
        saved.write_text(str(n))
        raise
sys.exit(run_job(work))
"""
WAITER = """
import sys
from pathlib import Path
from benchbench.runtime.backends.choice import BackendChoice
from benchbench.runtime.jobs import Job, run
run([Job("counts", ("counts",), Path("logs/counts.log"))], BackendChoice("slurm", slurm=("time=5",)).backend(1))
"""
MakeJob = Callable[[str, int], Job]


@pytest.fixture(scope="module")
def slurm() -> Iterator[Path]:
    pytest.importorskip("submitit")
    if missing():
        pytest.skip(f"not installed: {', '.join(missing())}")
    with cluster() as folder:
        yield folder


@pytest.fixture
def job(slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeJob:
    """Makes a job that counts seconds, and goes on from what it saved."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))

    def make(name: str, steps: int) -> Job:
        (tmp_path / f"{name}.py").write_text(COUNT.format(name=name, steps=steps))
        return Job(name, (name,), tmp_path / "logs" / f"{name}.log")

    return make


def submit(*jobs: Job, options: str = "time=5") -> list[Failure]:
    return run(jobs, BackendChoice("slurm", slurm=(options,)).backend(len(jobs)))


def steps(name: str) -> list[int]:
    path = Path(f"{name}.steps")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def starts(job: Job) -> list[str]:
    """Returns the Slurm job of each start."""
    entries = [json.loads(line) for line in job.status.read_text().splitlines()]
    return [e["slurm"]["job"] for e in entries if "slurm" in e and "exit" not in e["slurm"]]


def when(true: Callable[[], bool], act: Callable[[], object]) -> None:
    def wait() -> None:
        deadline = time.monotonic() + 120
        while not true() and time.monotonic() < deadline:
            time.sleep(0.1)
        act()

    threading.Thread(target=wait).start()


def scancel(*words: str) -> None:
    subprocess.run(["scancel", *words], check=True)


def test_an_array_of_jobs(job: MakeJob) -> None:
    jobs = [job(name, 1) for name in ("a", "b", "c")]
    assert submit(*jobs) == []
    assert [steps(name) for name in ("a", "b", "c")] == [[1]] * 3
    ids = [starts(one)[0] for one in jobs]
    assert len({job_id.partition("_")[0] for job_id in ids}) == 1 and len(set(ids)) == 3
    assert Path("logs/slurm").stat().st_mode & 0o777 == 0o700


def test_a_failure_and_a_refusal(job: MakeJob) -> None:
    bad = job("bad", 1)
    Path("bad.py").write_text("print('it is broken'); raise SystemExit(1)")
    (failure,) = submit(bad)
    assert failure.error.cause == "it is broken"
    with pytest.raises(UsageError, match="Slurm refuses the jobs") as error:
        submit(bad, options="time=5,partition=nowhere")
    assert "invalid partition specified: nowhere" in error.value.cause


def test_a_killed_job_is_submitted_again(job: MakeJob) -> None:
    counts = job("counts", 12)
    when(lambda: len(steps("counts")) >= 7, lambda: scancel("--signal=KILL", starts(counts)[0]))
    assert submit(counts) == []
    assert len(set(starts(counts))) == 2
    assert steps("counts")[-7:] == [*range(6, 13)]  # it goes on from the fifth step, the last that was saved


def test_a_job_that_is_always_killed_is_a_failure(job: MakeJob) -> None:
    dies = job("dies", 100)
    Path("dies.py").write_text("import os; print('too large', flush=True); os.kill(os.getpid(), 9)")
    (failure,) = submit(dies)
    assert len(set(starts(dies))) == 4
    assert "signal 9 ended it" in failure.error.cause and "its log ends" in failure.error.cause


def test_the_time_limit_saves_and_requeues(job: MakeJob) -> None:
    """Slurm starts the job again, and each step is made once."""
    counts = job("counts", 75)
    assert submit(counts, options="time=1,signal-delay=30") == []
    assert steps("counts") == [*range(1, 76)]
    assert len(starts(counts)) >= 2 and len(set(starts(counts))) == 1


def test_a_preempted_job_saves_and_goes_on(job: MakeJob) -> None:
    """A job of another partition takes both cores; this one gets SIGTERM and, with its grace time, the notice."""
    counts = job("counts", 20)
    other = ["sbatch", "--partition=first", "--time=1", "--cpus-per-task=2", "--output=/dev/null", "--wrap=sleep 3"]
    when(lambda: len(steps("counts")) >= 7, lambda: subprocess.run(other, check=True))
    assert submit(counts) == []
    assert steps("counts") == [*range(1, 21)]
    assert len(starts(counts)) == 2 and len(set(starts(counts))) == 1


def test_jobs_outlive_the_waiting_command(job: MakeJob) -> None:
    """After SIGKILL of the first command the second waits for the same Slurm job."""
    counts = job("counts", 25)
    first = subprocess.Popen([sys.executable, "-c", WAITER], start_new_session=True)
    try:
        when(lambda: len(steps("counts")) >= 3, lambda: os.killpg(first.pid, signal.SIGKILL))
        assert first.wait(120) == -signal.SIGKILL
    finally:
        if first.poll() is None:
            first.kill()
    assert submit(counts) == []
    assert steps("counts") == [*range(1, 26)] and len(starts(counts)) == 1


def test_ctrl_c_saves_and_the_same_command_goes_on(job: MakeJob) -> None:
    """Two jobs run on two cores and the third waits in the queue."""
    jobs = [job(name, 20) for name in ("counts", "other", "waits")]
    when(lambda: len(steps("counts")) >= 3 and len(steps("other")) >= 3, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        submit(*jobs)
    made = steps("counts")
    assert int(Path("counts.saved").read_text()) == made[-1] < 20 and steps("waits") == []
    assert subprocess.run(["squeue", "--noheader"], capture_output=True, text=True).stdout.count(" R ") == 0
    assert submit(*jobs) == []
    assert all(steps(name) == [*range(1, 21)] for name in ("counts", "other", "waits"))
