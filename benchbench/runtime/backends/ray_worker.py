"""Runs one attempt of a job on a node of a Ray cluster, as a process of its own.

The node sees the store if it finds the token there that the waiting command wrote; the job then works in the store as
on one machine. Elsewhere the job gets a folder of its own, with the files that it needs, and what it makes is sent back
while it runs.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchbench.errors import BenchError, UsageError
from benchbench.runtime.backends.base import Job
from benchbench.runtime.backends.local import LocalAttempt
from benchbench.runtime.backends.ray_files import Call, Outbox, fetch
from benchbench.runtime.backends.ray_head import CANCEL, KILL, HeadLost
from benchbench.runtime.backends.ray_spec import Spec, translate, versions
from benchbench.runtime.files import cache_folder
from benchbench.runtime.status import WHERE

STORE = "BENCH_RAY_STORE"  # a node's variable: where it sees the store, or where it may keep files of its jobs
REPORT = 0.3  # seconds between two reports of a node
SEND = 3.0  # seconds between two looks for files that the job has made


def task(text: str, head: Any) -> str:
    """Does ``run_attempt`` as a Ray task; ``head`` is the handle of the actor ``Head``."""
    import ray  # an extra; the rest of this file works without it

    attempt = Spec.from_json(text).attempt

    def call(method: str, *arguments: Any) -> Any:
        try:
            return ray.get(getattr(head, method).remote(attempt, *arguments))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayActorError as error:
            raise HeadLost(attempt) from error

    return run_attempt(text, ray.__version__, call)


def run_attempt(text: str, ray: str, call: Call) -> str:
    """Runs the attempt that ``text`` describes, and returns exit status and error as JSON.

    ``ray`` is the version of Ray on this node. Raises HeadLost once the job has ended, if nobody waits for it.
    """
    spec = Spec.from_json(text)
    try:
        _check_versions(spec, versions(ray))
        with _store(spec, call) as (store, shared):
            code, error = _NodeAttempt(spec, store, shared, call).run()
            here, there = str(store), spec.absolute_store
    except BenchError as raised:
        code, error, here, there = raised.code, raised, "", ""
    lines = [error.problem, error.cause, error.remedy] if error else []
    return json.dumps({"code": code, "error": [line.replace(here, there) if here else line for line in lines]})


def _check_versions(spec: Spec, here: dict[str, str]) -> None:
    wanted = spec.versions.items()
    different = [f"{name} {here[name]} instead of {version}" for name, version in wanted if here[name] != version]
    if different:
        raise UsageError(
            f"the Ray node {socket.gethostname()} has other versions than this machine",
            ", ".join(different),
            "install the same versions on every node, and start Ray there again",
        )


@contextmanager
def _store(spec: Spec, call: Call) -> Iterator[tuple[Path, bool]]:
    """Yields the folder of the store on this node, and whether it is the store of the waiting command itself."""
    named = os.environ.get(STORE)
    mounted = Path(named or spec.absolute_store)
    if _read(mounted / spec.token) == spec.attempt:
        yield mounted, True
        return
    if not spec.sendable:
        raise UsageError(
            f"{spec.name} cannot run on the Ray node {socket.gethostname()}",
            f"it sees no {mounted} of this machine, and the files of this job cannot be sent",
            f"share the folder with the node ({STORE} says where it sees it), or leave out --on ray",
        )
    with _own_folder(Path(named) if named else cache_folder() / "ray", spec.attempt) as folder:
        fetch(folder, call)
        yield folder, False


@contextmanager
def _own_folder(base: Path, attempt: str) -> Iterator[Path]:
    """Yields an empty folder for one attempt and removes it afterwards, as it does those of killed attempts."""
    from filelock import FileLock, Timeout

    base.mkdir(parents=True, exist_ok=True)
    for left in base.glob("attempt-*.lock"):
        try:
            with FileLock(left, timeout=0):
                shutil.rmtree(left.with_suffix(""), ignore_errors=True)
                if not left.with_suffix("").exists():
                    left.unlink(missing_ok=True)
        except Timeout:  # at work
            continue
    folder = base / f"attempt-{attempt}"
    lock = folder.with_name(f"{folder.name}.lock")
    with FileLock(lock):
        try:
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


def _read(path: Path) -> str:
    """Returns the text of a small file; empty where it is not there."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


class _NodeAttempt:
    """The process of a job on this node, and its reports to the waiting command."""

    def __init__(self, spec: Spec, store: Path, shared: bool, call: Call) -> None:
        if shared and Path(spec.folder).is_dir():
            os.chdir(spec.folder)  # where other paths of the command are relative to
        command = tuple(translate(word, spec.store, store) for word in spec.command)
        self._job = Job(spec.name, command, store / spec.log, environment={**spec.environment, WHERE: "ray"})
        self._outbox = None if shared else Outbox(store, spec.makes, call)
        self._new_log = _NewBytes(self._job.log, shared)
        self._new_status = _NewBytes(self._job.status, shared)
        self._call, self._sent_at = call, time.monotonic()
        self._attempt = LocalAttempt(self._job, spec.threads, {})

    def run(self) -> tuple[int, BenchError | None]:
        """Returns the exit status, and the error of a job that failed. Errors: those of sending files; HeadLost."""
        try:
            while self._attempt.poll() is None:
                try:
                    self._obey(self._report())
                    time.sleep(REPORT)
                except KeyboardInterrupt:  # Ray was asked to cancel the task
                    self._attempt.cancel()
        except BaseException:
            self._attempt.cancel()
            self._attempt.wait()
            raise
        code = self._attempt.poll() or 0
        self._report(last=True)
        return code, self._attempt.error() if code else None

    def _report(self, last: bool = False) -> str:
        if self._outbox and (last or time.monotonic() - self._sent_at > SEND):
            self._outbox.send()
            self._sent_at = time.monotonic()
        found = {"pid": self._attempt.pid, "progress": self._attempt.progress(), "note": self._attempt.note()}
        state = json.dumps({"host": socket.gethostname(), **found})
        return str(self._call("report", state, self._new_log.take(last), self._new_status.take(last)))

    def _obey(self, request: str) -> None:
        if request == KILL:
            self._attempt.kill()
        elif request == CANCEL:
            self._attempt.cancel()


class _NewBytes:
    """Reads what is appended to a file of this node; nothing of a shared file, which needs no sending."""

    def __init__(self, path: Path, shared: bool) -> None:
        self._path, self._shared, self._offset = path, shared, 0

    def take(self, last: bool) -> bytes:
        """Returns what was appended since the last call, at most a megabyte of it except at the end."""
        if self._shared or not self._path.exists():
            return b""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(-1 if last else 1 << 20)
        self._offset += len(data)
        return data
