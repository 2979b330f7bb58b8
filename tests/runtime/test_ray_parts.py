"""A job on a node without the store, in real processes but without Ray: calls to the head are plain calls."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchbench.errors import CorruptError, MissingError, UsageError
from benchbench.runtime.backends import ray_worker
from benchbench.runtime.backends.choice import BackendChoice, alone
from benchbench.runtime.backends.ray_files import Outbox, fetch
from benchbench.runtime.backends.ray_head import CANCEL, KILL, Head, HeadLost
from benchbench.runtime.backends.ray_spec import Spec, translate, versions
from benchbench.runtime.backends.sent_files import CHUNK, Incoming, find, matches
from benchbench.runtime.hashing import bytes_sha256

WORK = """
import pathlib, sys, time
from benchbench.runtime.job_process import run_job
from benchbench.runtime.status import report_progress
store = pathlib.Path(sys.argv[1])
out = store / 'runs' / 'a'
def work():
    lines = (out / 'metrics.jsonl').read_text()
    (out / 'metrics.jsonl').write_text(lines + 'two\\n')
    (out / 'old').unlink()
    (out / 'deep').mkdir()
    (out / 'deep' / 'done.json').write_bytes(b'{}')
    (store / 'runs' / 'other').mkdir()
    (store / 'runs' / 'other' / 'x').touch()
    report_progress(0.5)
    print('worked in', store)
sys.exit(run_job(work))
"""
RUNS = ("runs/a/**",)


@pytest.fixture
def head(tmp_path: Path) -> Head:
    """A head that knows the attempt ``1`` of a job on the run ``a``."""
    store, log = tmp_path / "store", tmp_path / "store" / "logs" / "job.log"
    (store / "runs" / "a").mkdir(parents=True)
    (store / "runs" / "a" / "metrics.jsonl").write_text("one\n")
    (store / "runs" / "a" / "old").write_text("old")
    (store / "runs" / "a.lock").touch()
    (store / "runs" / "b").mkdir()
    (store / "runs" / "b" / "secret").write_text("of another job")
    log.parent.mkdir()
    head = Head()
    head.begin("1", str(store), str(log), str(log.with_suffix(".status.jsonl")), list(RUNS), list(RUNS))
    return head


@pytest.fixture
def call(head: Head) -> Callable[..., Any]:
    return lambda method, *arguments: getattr(head, method)("1", *arguments)


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Spec]:
    """Makes the attempt of a job of a module's code; its node may keep files in ``node``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ray_worker.STORE, str(tmp_path / "node"))

    def make(code: str) -> Spec:
        (tmp_path / "job.py").write_text(code)
        return Spec(
            attempt="1",
            name="the job",
            command=["job", "store", "store/runs/a", "storey"],
            store="store",
            absolute_store=str(tmp_path / "store"),
            log="logs/job.log",
            makes=list(RUNS),
            sendable=True,
            threads=1,
            environment={},
            folder=str(tmp_path),
            versions=versions("2.0"),
        )

    return make


def run(spec: Spec, call: Callable[..., Any], ray: str = "2.0") -> dict[str, Any]:
    result = json.loads(ray_worker.run_attempt(spec.to_json(), ray, call))
    assert isinstance(result, dict)
    return result


def test_a_node_gets_the_jobs_files_and_sends_what_it_changed(
    tmp_path: Path, head: Head, call: Callable[..., Any], spec: Callable[[str], Spec]
) -> None:
    """New, changed and removed files of the job's run; nothing of the run that it should not make."""
    assert run(spec(WORK), call) == {"code": 0, "error": []}
    store = tmp_path / "store"
    assert sorted(path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()) == [
        "logs/job.log",
        "logs/job.status.jsonl",
        "runs/a.lock",
        "runs/a/deep/done.json",
        "runs/a/metrics.jsonl",
        "runs/b/secret",
    ]
    assert (store / "runs" / "a" / "metrics.jsonl").read_text() == "one\ntwo\n"
    assert (store / "logs" / "job.log").read_text() == f"worked in {tmp_path}/node/attempt-1\n"
    assert '"progress": 0.5' in (store / "logs" / "job.status.jsonl").read_text()
    assert list((tmp_path / "node").iterdir()) == []
    assert json.loads(head.states()["1"])["progress"] == 1.0


def test_a_node_that_sees_the_store_works_in_it(
    tmp_path: Path, call: Callable[..., Any], spec: Callable[[str], Spec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ray_worker.STORE)
    job = spec(WORK)
    (tmp_path / "store" / job.token).write_text("1")
    assert run(job, call)["code"] == 0
    assert (tmp_path / "store" / "runs" / "other" / "x").exists()
    assert (tmp_path / "store" / "logs" / "job.log").read_text() == f"worked in {tmp_path}/store\n"


def test_the_error_of_a_job_is_that_of_one_machine(
    tmp_path: Path, call: Callable[..., Any], spec: Callable[[str], Spec]
) -> None:
    """It names the log of this machine, not the node's."""
    code = """
import sys
from benchbench.errors import MissingError
from benchbench.runtime.job_process import run_job
def work(): raise MissingError('weights are missing', 'no file in ' + sys.argv[1], 'fetch them')
sys.exit(run_job(work))
"""
    store = tmp_path / "store"
    assert run(spec(code), call) == {
        "code": 3,
        "error": [
            "the job failed",
            f"weights are missing (no file in {store})",
            f"fetch them; finished work is kept; see {store}/logs/job.log",
        ],
    }


def test_other_versions_are_refused_before_anything_runs(call: Callable[..., Any], spec: Callable[[str], Spec]) -> None:
    result = run(spec("raise SystemExit(9)"), call, ray="1.9")
    assert result["code"] == 2 and result["error"][1] == "ray 1.9 instead of 2.0"


def test_a_job_whose_files_are_unknown_needs_the_store(call: Callable[..., Any], spec: Callable[[str], Spec]) -> None:
    result = run(replace(spec("raise SystemExit(9)"), sendable=False), call)
    assert result["code"] == 2 and "the files of this job cannot be sent" in result["error"][1]


@pytest.mark.parametrize(("request_", "code"), [(CANCEL, 130), (KILL, -9)])
def test_a_job_ends_when_it_is_asked_to(
    request_: str, code: int, head: Head, call: Callable[..., Any], spec: Callable[[str], Spec]
) -> None:
    work = """
import sys, time
from benchbench.runtime.job_process import run_job
from benchbench.runtime.status import report_progress
def work(): report_progress(0.25); time.sleep(60)
sys.exit(run_job(work))
"""

    def ask() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and '"progress": 0.24' not in head.states().get("1", ""):
            time.sleep(0.05)
        head.ask("1", request_)

    asking = threading.Thread(target=ask)
    asking.start()
    assert run(spec(work), call)["code"] == code
    asking.join()


def test_a_job_whose_command_is_gone_ends(head: Head, call: Callable[..., Any], spec: Callable[[str], Spec]) -> None:
    threading.Timer(1.0, lambda: head.end("1")).start()
    started = time.monotonic()
    with pytest.raises(HeadLost):
        run(spec("import time; time.sleep(60)"), call)
    assert time.monotonic() - started < 30


def test_what_a_killed_attempt_left_on_a_node_is_removed(
    tmp_path: Path, call: Callable[..., Any], spec: Callable[[str], Spec]
) -> None:
    left = tmp_path / "node" / "attempt-0"
    left.mkdir(parents=True)
    (left / "file").touch()
    left.with_name("attempt-0.lock").touch()
    assert run(spec(WORK), call)["code"] == 0
    assert list((tmp_path / "node").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        *(
            "runs/b/secret",
            "../store/runs/a/x",
            "runs/a/../b/secret",
            "/etc/passwd",
            "runs/a",
            "runs/a/.x",
            "runs//a/x",
        ),
        *("runs/a/x.lock", "runs/a/x\n", "runs/a/..\\x", ""),
    ],
)
def test_a_node_touches_no_other_file(name: str, call: Callable[..., Any]) -> None:
    for method, arguments in (("read", (0,)), ("write", (0, b"x", "")), ("remove", ())):
        with pytest.raises(CorruptError, match="a Ray node named the file"):
            call(method, name, *arguments)


def test_a_name_matches_a_pattern_part_by_part() -> None:
    assert matches("runs/a/x/y", ["runs/a/**"]) and matches("images/g/0.webp", ["images/*/*.webp"])
    assert not matches("runs/a", ["runs/a/**"]) and not matches("images/g/h/0.webp", ["images/*/*.webp"])
    assert translate("store/x", "store", Path("/n")) == "/n/x" and translate("storey", "store", Path("/n")) == "storey"


def test_a_file_that_is_not_whole_gets_no_name(tmp_path: Path, call: Callable[..., Any]) -> None:
    """A file of that name stays, and no temporary file is left."""
    store = tmp_path / "store"
    call("write", "runs/a/old", 0, b"half", "")
    with pytest.raises(CorruptError, match="did not arrive whole"):
        call("write", "runs/a/old", 4, b"", bytes_sha256([b"whole"]))
    call("write", "runs/a/old", 0, b"broken off", "")
    call("write", "runs/a/new", 0, b"", bytes_sha256([b""]))
    assert (store / "runs" / "a" / "old").read_text() == "old"
    assert sorted(path.name for path in (store / "runs" / "a").iterdir()) == ["metrics.jsonl", "new", "old"]
    dropped = Incoming(tmp_path / "x")
    dropped.add(b"1")
    dropped.drop()
    assert not list(tmp_path.glob("*x*"))


def test_large_and_empty_files_travel_whole(tmp_path: Path, head: Head, call: Callable[..., Any]) -> None:
    node, store = tmp_path / "node", tmp_path / "store"
    (store / "runs" / "a" / "big").write_bytes(big := b"ab" * CHUNK)
    fetch(node, call)
    assert (node / "runs" / "a" / "big").read_bytes() == big
    outbox = Outbox(node, list(RUNS), call)
    (node / "runs" / "a" / "back").write_bytes(big[:-1])
    (node / "runs" / "a" / "empty").touch()
    outbox.send()
    assert find(store, RUNS).keys() == find(node, RUNS).keys()
    assert (store / "runs" / "a" / "back").read_bytes() == big[:-1]
    assert (store / "runs" / "a" / "empty").read_bytes() == b""


def test_ray_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingError, match="Ray is not installed") as error:
        BackendChoice("ray").backend(1)
    assert error.value.remedy == "pip install 'benchbench[ray]'"


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="--ray-address has no effect here"):
        BackendChoice("local", ray_address="head:6379").backend(1)
    with pytest.raises(UsageError, match="this table measures times"):
        alone(BackendChoice("ray"))
