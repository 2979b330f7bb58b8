"""The runner of jobs, with real processes: order, slots, failures and progress."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchbench.errors import MissingError, RunError
from benchbench.runtime.backends import local
from benchbench.runtime.devices import gpus
from benchbench.runtime.jobs import Job, LocalBackend, run

MEET = """
import pathlib, time
pathlib.Path('{mine}').touch()
for _ in range(600):
    if pathlib.Path('{other}').exists(): break
    time.sleep(0.1)
else: raise SystemExit(1)
"""
NOTE = "open('order', 'a').write('{name} ')"
ALONE = """
import pathlib, time
with open('order', 'a') as order:
    order.write('+'); order.flush(); time.sleep(0.5); order.write('-')
"""
FAIL = """
import sys
from benchbench.errors import {kind}
from benchbench.runtime.job_process import run_job
def work(): raise {kind}('weights are missing', 'no file', 'fetch them')
sys.exit(run_job(work))
"""
MakeJob = Callable[..., Job]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeJob:
    """Makes a job of a module's code, in a folder where ``python -m`` finds it."""
    monkeypatch.chdir(tmp_path)

    def make(name: str, code: str, **needs: object) -> Job:
        (tmp_path / f"{name}.py").write_text(code)
        return Job(name, (name,), tmp_path / "logs" / f"{name}.log", **needs)  # type: ignore[arg-type]

    return make


def order() -> list[str]:
    return Path("order").read_text().split()


def test_jobs_run_side_by_side(job: MakeJob) -> None:
    """Two jobs that each wait for the other's file can only end when both run at once."""
    both = [job("one", MEET.format(mine="a", other="b")), job("two", MEET.format(mine="b", other="a"))]
    started: list[Job] = []
    ended: list[Job] = []
    assert not run(both, LocalBackend(2), on_start=started.append, on_end=ended.append)
    assert started == both and set(ended) == set(both)


def test_a_job_waits_for_those_it_comes_after(job: MakeJob) -> None:
    """The last is listed first, and four could run at once."""
    a = job("a", "import time; time.sleep(0.5); " + NOTE.format(name="a"))
    b = job("b", NOTE.format(name="b"), after=(a,))
    c = job("c", NOTE.format(name="c"), after=(a, b))
    assert not run([c, b, a], LocalBackend(4))
    assert order() == ["a", "b", "c"]


def test_a_dependency_that_is_not_run_is_refused(job: MakeJob) -> None:
    a = job("a", "")
    with pytest.raises(ValueError, match="wait for others that are not run: a"):
        run([job("b", "", after=(a,))], LocalBackend(1))


def test_what_needs_a_failed_job_is_not_run(job: MakeJob) -> None:
    bad = job("bad", "raise SystemExit(5)")
    after = job("after", NOTE.format(name="after"), after=(bad,))
    last = job("last", NOTE.format(name="last"), after=(after,))
    good = job("good", NOTE.format(name="good"))
    failures = run([last, after, bad, good], LocalBackend(2))
    assert {f.job.name: f.error.problem for f in failures} == {
        "bad": "bad failed",
        "after": "after was not run",
        "last": "last was not run",
    }
    assert {f.job.name: f.error.cause for f in failures}["last"] == "it needs after, which failed"
    assert order() == ["good"]


def test_nothing_runs_beside_an_exclusive_job(job: MakeJob) -> None:
    """Each writes + at its start and - at its end; with three slots the two plain jobs alone overlap."""
    jobs = [job("a", ALONE, exclusive=True), job("b", ALONE), job("c", ALONE), job("d", ALONE, exclusive=True)]
    assert not run(jobs, LocalBackend(3))
    assert Path("order").read_text() == "+-++--+-"


def test_a_job_takes_its_slots(job: MakeJob) -> None:
    """Two of three slots leave room for one job of one slot; what asks for more than there are runs alone."""
    assert not run([job("a", ALONE, slots=2), job("b", ALONE, slots=2), job("c", ALONE, slots=9)], LocalBackend(3))
    assert Path("order").read_text() == "+-+-+-"
    Path("order").unlink()
    assert not run([job("a", ALONE, slots=2), job("b", ALONE)], LocalBackend(3))
    assert Path("order").read_text() == "++--"


def test_slots_share_the_cores(job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores and two slots: four threads a slot, all eight for a job that is alone, or as many as it says."""
    monkeypatch.setattr(local, "cores", lambda: 8)
    tell = "import os; open('order', 'a').write(os.environ['OMP_NUM_THREADS'] + os.environ.get('MORE', '') + ' ')"
    jobs = [job("a", tell), job("b", tell, threads=3), job("c", tell, exclusive=True), job("d", tell, slots=2)]
    for one in jobs:
        run([one], LocalBackend(2))
    run([job("e", tell, environment={"MORE": "x"})], LocalBackend(16))
    assert order() == ["4", "3", "8", "8", "1x"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_cores_are_those_that_may_be_used() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from benchbench.runtime.cores import cores; print(cores())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


def test_an_error_travels_as_data(job: MakeJob) -> None:
    """It ends the other jobs, and is raised with its class, its words and the log's name."""
    bad, slow = job("bad", FAIL.format(kind="MissingError")), job("slow", "import time; time.sleep(60)")
    started = time.monotonic()
    with pytest.raises(MissingError, match="bad failed") as error:
        run([bad, slow], LocalBackend(2), "testing")
    assert error.value.cause == "weights are missing (no file)"
    assert error.value.remedy == f"fetch them; finished work is kept; see {bad.log}"
    assert "error: weights are missing\n  why: no file" in bad.log.read_text()
    assert time.monotonic() - started < 30


def test_prose_is_not_read_as_data(job: MakeJob) -> None:
    """The last line that a child prints is its last message, whatever it looks like, of this attempt alone."""
    talk = job("talk", "print('x: 3/4\\n it\\n  why: no\\n  do:  so'); raise SystemExit(3)")
    with pytest.raises(MissingError) as error:
        run([talk], LocalBackend(1))
    assert error.value.cause == "do:  so"
    silent = job("talk", "raise SystemExit(5)")
    assert run([silent], LocalBackend(1))[0].error.cause == "it printed nothing"


def test_a_job_that_fails_alone_leaves_the_others_running(job: MakeJob) -> None:
    """The first ends with the code of a failed run, the second is killed, the third goes on to its end."""
    bad = job("bad", FAIL.format(kind="RunError"))
    shot = job("shot", "import os, signal; print('walking', flush=True); os.kill(os.getpid(), signal.SIGKILL)")
    good = job("good", "import time; time.sleep(0.5); " + NOTE.format(name="good"))
    failures = run([bad, shot, good], LocalBackend(3), "testing")
    assert order() == ["good"]
    assert {f.job.name: f.error.cause for f in failures} == {
        "bad": "weights are missing (no file)",
        "shot": "SIGKILL ended it; its last message: walking",
    }
    assert all(f.error.code == 5 for f in failures)


def test_any_failure_can_be_the_end_of_all(job: MakeJob) -> None:
    bad = job("bad", "raise SystemExit(5)")
    with pytest.raises(RunError, match="bad failed"):
        run([bad, job("after", NOTE.format(name="after"), after=(bad,))], LocalBackend(1), stop_at_first=True)
    assert not Path("order").exists()


def test_no_other_file_starts_processes() -> None:
    """``subprocess.run``, which waits by itself, is no runner, nor is parity's one program of another Python.

    In a Slurm job one process starts the command.
    """
    package = Path(local.__file__).parents[2]
    starting = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if "Popen" in path.read_text()}
    assert starting == {"runtime/backends/local.py", "runtime/backends/slurm_job.py", "parity/child.py"}


def test_an_interrupted_child_interrupts_all(job: MakeJob) -> None:
    for name, code in (("told", "raise SystemExit(130)"), ("shot", "raise KeyboardInterrupt")):
        with pytest.raises(KeyboardInterrupt):
            run([job(name, code)], LocalBackend(1))


def test_garbage_in_the_status_file_is_skipped(job: MakeJob) -> None:
    """The child overwrites nothing of ours: its progress before and its error after the garbage are read."""
    code = """
import os, sys
from benchbench.errors import RunError
from benchbench.runtime import status
from benchbench.runtime.job_process import run_job
def work():
    status.report_progress(0.5)
    with open(os.environ['BENCH_STATUS_FILE'], 'ab') as file:
        file.write(bytes(range(256)) + b'[' * 100000 + b'\\n{"pid": 1, "error": {}}\\n[]\\n\\n"half')
        file.write(b'\\n' + b'{"pid": %d, "progress": "much", "error": {"problem": 3}}\\n' % os.getpid())
    raise RunError('it stopped', 'NaN', 'lower the rate')
sys.exit(run_job(work))
"""
    (failure,) = run([job("noisy", code)], LocalBackend(1), "testing")
    assert failure.error.cause == "it stopped (NaN)"


def test_the_bar_shows_what_children_report(
    job: MakeJob, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of one job of weight 8 is 4 of 8, seen while it waits."""
    code = """
import pathlib, time
from benchbench.runtime.progress import progress
with progress(4, 'drawing') as bar:
    bar.advance(2)
    for _ in range(600):
        if pathlib.Path('seen').exists(): break
        time.sleep(0.1)
"""
    monkeypatch.setattr("benchbench.runtime.progress.SECONDS_BETWEEN_LINES", 0.0)
    half = job("half", code, weight=8.0)
    attempt = LocalBackend(1).start(half)
    deadline = time.monotonic() + 60
    while attempt.progress() == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert attempt.progress() == pytest.approx(0.99 / 2)
    Path("seen").touch()
    attempt.wait()
    assert attempt.poll() == 0 and attempt.progress() == 1
    Path("seen").unlink()

    def let_go(line: str) -> None:
        if "4/8" in line:
            Path("seen").touch()

    printed: list[str] = []
    monkeypatch.setattr("builtins.print", lambda line, **_: (printed.append(line), let_go(line)))
    assert not run([half], LocalBackend(1), "testing")
    assert any(line.startswith("testing: 4/8") and line.endswith("now: half") for line in printed)


def test_each_job_sees_one_gpu(job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four ids are four slots; four jobs that wait for each other see one id each, a job that runs alone all four."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-a,MIG-b,7,-1,9")
    assert gpus() == ("3", "GPU-a", "MIG-b", "7")
    code = """
import os, pathlib, time
pathlib.Path('{name}.ids').write_text(os.environ['CUDA_VISIBLE_DEVICES'])
for _ in range(600):
    if len(list(pathlib.Path().glob('*.ids'))) >= {n}: break
    time.sleep(0.1)
else: raise SystemExit(1)
"""
    backend = LocalBackend.make(None, 99)
    assert backend.slots == 4
    assert not run([job(name, code.format(name=name, n=4)) for name in "abcd"], backend)
    assert sorted(path.read_text() for path in Path().glob("*.ids")) == ["3", "7", "GPU-a", "MIG-b"]
    assert not run([job(name, code.format(name=name, n=4)) for name in "efgh"], backend)
    assert sorted(Path(f"{name}.ids").read_text() for name in "efgh") == ["3", "7", "GPU-a", "MIG-b"]
    assert not run([job("alone", code.format(name="alone", n=4), exclusive=True)], backend)
    assert Path("alone.ids").read_text() == "3, GPU-a,MIG-b,7,-1,9"


def test_slots_without_a_gpu_are_the_cores_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5}, raising=False)
    assert gpus() == () and LocalBackend.make(None, 99).slots == 2
    assert LocalBackend.make(None, 1).slots == 1 and LocalBackend.make(7, 99).slots == 7
