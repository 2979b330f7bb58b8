"""Small jobs on a real Ray cluster of one machine: losses, failures and Ctrl-C, in the store and without it.

They need the extra ``ray``: pip install 'benchbench[ray]'.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchbench.runtime.jobs import Job, LocalBackend, run

pytestmark = pytest.mark.long
cluster_utils = pytest.importorskip("ray.cluster_utils", reason="the extra ray is not installed")

COUNT = """
import os, pathlib, sys, time
from benchbench.runtime.files import write_atomic
from benchbench.runtime.job_process import run_job
from benchbench.runtime.status import report_progress
out = pathlib.Path(sys.argv[1]) / 'runs' / sys.argv[2]
out.mkdir(parents=True, exist_ok=True)
kept = out / 'kept'
n = int(kept.read_text()) if kept.exists() else 0
with (out / 'starts.jsonl').open('a') as starts:
    starts.write(f'{n} {os.getpid()} {os.getppid()}\\n')
def work():
    global n
    try:
        while n < 100:
            n += 1
            if n % 10 == 0: write_atomic(kept, str(n).encode())
            report_progress(n / 100)
            time.sleep(0.1)
    except KeyboardInterrupt:
        write_atomic(kept, str(n).encode())
        raise
sys.exit(run_job(work))
"""
STUBBORN = COUNT.replace(
    "def work():", "import signal\ndef work():\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)", 1
)
SHOT = "import os, signal; print('walking', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
BAD = """
import sys
from benchbench.errors import RunError
from benchbench.runtime.job_process import run_job
def work(): raise RunError('the reward is NaN', 'it was not finite', 'lower the rate')
sys.exit(run_job(work))
"""
CARD = """
import os, pathlib, sys, time
store = pathlib.Path(sys.argv[1])
(store / f'{sys.argv[2]}.card').write_text(os.environ['CUDA_VISIBLE_DEVICES'] + ' ' + os.environ['OMP_NUM_THREADS'])
for _ in range(600):
    if len(list(store.glob('*.card'))) == 2: break
    time.sleep(0.1)
else: raise SystemExit(1)
"""
DRIVER = """
import sys
from pathlib import Path
from benchbench.errors import BenchError
from benchbench.runtime.backends.base import StoreFiles
from benchbench.runtime.backends.ray_backend import RayBackend
from benchbench.runtime.jobs import Job, run
store, names = Path(sys.argv[1]), sys.argv[2:]
try:
    backend = RayBackend.make('auto', None)
    print(backend.slots, 'slots')
    files = {name: [f'runs/{name}/**'] for name in names}
    jobs = [Job(name, (name, str(store), name), store / 'logs' / f'{name}.log',
                files=StoreFiles(store, lambda name=name: files[name], files[name])) for name in names]
    for failure in run(jobs, backend, 'counting'):
        print(failure.error)
except BenchError as error:
    print(error)
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Returns the folder of the jobs' modules, in which Ray's workers find them."""
    folder = tmp_path_factory.mktemp("modules")
    for name, code in {
        "count": COUNT,
        "stubborn": STUBBORN,
        "shot": SHOT,
        "bad": BAD,
        "one": CARD,
        "two": CARD,
    }.items():
        (folder / f"{name}.py").write_text(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        yield folder


@pytest.fixture(scope="module")
def shared(modules: Path) -> Iterator[str]:
    """Returns the address of a cluster whose two cores see the store."""
    arguments = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 100 << 20}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=arguments)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture
def start(modules: Path, shared: str, tmp_path: Path) -> Iterator[Start]:
    """Starts a command that runs the jobs of these names in the store ``tmp_path``."""
    started: list[subprocess.Popen[str]] = []

    def start(*names: str, address: str = shared) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", DRIVER, str(tmp_path), *names]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        environment = {**os.environ, "RAY_ADDRESS": address}
        started.append(subprocess.Popen(words, start_new_session=True, env=environment, **pipes))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def starts(store: Path, name: str = "count") -> list[list[int]]:
    """Returns for each start of a job the number that it began with, its process and its parent."""
    path = store / "runs" / name / "starts.jsonl"
    return [[int(word) for word in line.split()] for line in path.read_text().splitlines()] if path.exists() else []


def until_kept(store: Path, name: str = "count") -> list[int]:
    """Waits until a job has kept a number; returns its last start."""
    deadline = time.monotonic() + 120
    while not (store / "runs" / name / "kept").exists():
        assert time.monotonic() < deadline, "nothing was kept in 120 s"
        time.sleep(0.05)
    return starts(store, name)[-1]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("victim", ["the worker", "the job"])
def test_what_is_killed_goes_on_from_what_it_kept(victim: str, start: Start, tmp_path: Path) -> None:
    running = start("count")
    _, job, worker = until_kept(tmp_path)
    assert b"ray::" in Path(f"/proc/{worker}/cmdline").read_bytes()
    os.kill(worker if victim == "the worker" else job, signal.SIGKILL)
    printed = running.communicate(timeout=120)[0]
    first, second = starts(tmp_path)
    assert first[0] == 0 and second[0] >= 10 and (tmp_path / "runs" / "count" / "kept").read_text() == "100"
    lines = printed.splitlines()
    assert lines[0] == "2 slots" and all(line.startswith("counting: ") for line in lines[1:]), printed
    assert "broken off (" in (tmp_path / "logs" / "count.log").read_text()
    assert not list((tmp_path / "logs").glob(".*"))


def test_failures_read_as_on_one_machine(start: Start, tmp_path: Path, modules: Path) -> None:
    """A job that fails is not run again; one that is killed again and again without progress is given up."""
    printed = start("bad", "shot").communicate(timeout=120)[0]
    jobs = [Job(name, (name, str(tmp_path), name), tmp_path / "logs" / f"{name}.log") for name in ("bad", "shot")]
    failures = run(jobs, LocalBackend(1))
    assert [failure.job.name for failure in failures] == ["bad", "shot"]
    for failure in failures:
        assert str(failure.error) in printed
    assert (tmp_path / "logs" / "shot.log").read_text().splitlines().count("walking") == 3 + 1


def test_ctrl_c_has_the_jobs_saved(start: Start, tmp_path: Path) -> None:
    running = start("count", "stubborn")
    jobs = [until_kept(tmp_path, name)[1] for name in ("count", "stubborn")]
    running.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 30
    while not gone(jobs[0]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert running.poll() is None and not gone(jobs[1])
    running.send_signal(signal.SIGINT)
    printed = running.communicate(timeout=30)[0]
    assert running.returncode != 0 and "stopping: running jobs save what they have" in printed
    assert gone(jobs[1])
    kept = int((tmp_path / "runs" / "count" / "kept").read_text())
    assert len(starts(tmp_path)) == 1 and 10 <= kept < 100
    assert "WorkerCrashed" not in printed


def test_a_command_that_is_killed_ends_its_jobs(start: Start, tmp_path: Path) -> None:
    running = start("count")
    job = until_kept(tmp_path)[1]
    running.kill()
    deadline = time.monotonic() + 60
    while not gone(job):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    printed = start("count").communicate(timeout=120)[0]
    assert starts(tmp_path)[-1][0] >= 10 and "2 slots" in printed
    assert (tmp_path / "runs" / "count" / "kept").read_text() == "100"


def test_each_job_has_a_gpu_where_there_are_some(modules: Path, start: Start, tmp_path: Path) -> None:
    """Ray counts GPUs as it is told to: two, and six cores, are two slots of three threads."""
    arguments = {"num_cpus": 6, "num_gpus": 2, "include_dashboard": False, "object_store_memory": 100 << 20}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=arguments)
    try:
        printed = start("one", "two", address=cluster.address).communicate(timeout=120)[0]
    finally:
        cluster.shutdown()
    assert printed.startswith("2 slots"), printed
    assert sorted(path.read_text() for path in tmp_path.glob("*.card")) == ["0 3", "1 3"]


def test_a_lost_node_without_the_store(modules: Path, start: Start, tmp_path: Path) -> None:
    """The second node goes on from what the first one had sent."""
    arguments = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 100 << 20}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=arguments)
    try:
        node = {"num_cpus": 1, "object_store_memory": 100 << 20}
        first = cluster.add_node(**node, env_vars={"BENCH_RAY_STORE": str(tmp_path / "first")})
        running = start("count", address=cluster.address)
        job = until_kept(tmp_path)[1]
        assert f"{tmp_path}/first/attempt-".encode() in Path(f"/proc/{job}/cmdline").read_bytes()
        cluster.remove_node(first, allow_graceful=False)
        cluster.add_node(**node, env_vars={"BENCH_RAY_STORE": str(tmp_path / "second")})
        printed = running.communicate(timeout=180)[0]
    finally:
        cluster.shutdown()
    assert [begun[0] >= 10 for begun in starts(tmp_path)] == [False, True], printed
    assert (tmp_path / "runs" / "count" / "kept").read_text() == "100"
    assert list((tmp_path / "second").iterdir()) == []


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"),
        ("ray://head:10001", "cannot be used"),
        ("x", "not HOST"),
    ],
)
def test_a_cluster_that_is_not_there(address: str, message: str, start: Start) -> None:
    printed = start("count", address=address).communicate(timeout=60)[0]
    assert message in printed and "Traceback" not in printed
