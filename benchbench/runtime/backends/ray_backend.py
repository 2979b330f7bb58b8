"""Runs jobs as tasks of a Ray cluster: one GPU each or, in a cluster without GPUs, one core.

A task that ends without its command's consent, since the worker or the node was lost or the command was killed, is
started again; the command goes on from what it has kept. Three such ends without progress are a failure.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from contextlib import suppress
from typing import Any

from benchbench.errors import BenchError, MissingError, RunError, error_class
from benchbench.runtime.backends import ray_cluster, ray_worker
from benchbench.runtime.backends.base import Job
from benchbench.runtime.backends.ray_head import CANCEL, KILL, Head
from benchbench.runtime.backends.ray_spec import Spec, token_name, versions
from benchbench.runtime.backends.sent_files import AGAIN
from benchbench.runtime.file_errors import writing
from benchbench.runtime.status import read_note

BROKEN_OFF = (130, -2, -9, -15)  # exit statuses after Ctrl-C, SIGINT, SIGKILL and SIGTERM
TRIES = 3  # ends without progress
REFRESH = 1.0  # seconds between two questions to the cluster
KILL_AFTER = 10.0  # seconds after which a worker that does not end its job is ended itself


class RayBackend:
    """Runs jobs on a cluster that ``ray_cluster.connect`` has connected to, at most ``most`` slots at a time."""

    detached = False

    def __init__(self, ray: Any, most: int | None) -> None:
        self.ray, self._most = ray, most
        self._resources: dict[str, float] = {}
        self._states: dict[str, Any] = {}
        self._asked_at = self._counted_at = -REFRESH
        self.head = ray_cluster.actor_here(ray, Head)
        self.task = ray.remote(ray_worker.task)

    @classmethod
    def make(cls, address: str, most: int | None) -> RayBackend:
        """Returns a backend on the cluster at ``address``. Errors: those of ``ray_cluster.connect``."""
        return cls(ray_cluster.connect(address), most)

    def resources(self) -> dict[str, float]:
        """Returns the cluster's resources by name; nodes come and go."""
        if time.monotonic() - self._counted_at >= REFRESH:
            self._resources, self._counted_at = self.ray.cluster_resources(), time.monotonic()
        return self._resources

    @property
    def slots(self) -> int:
        """The number of GPUs or, without GPUs, of cores in the cluster; at most what the user wants."""
        found = self.resources()
        there = max(1, int(found.get("GPU", 0) or found.get("CPU", 0)))
        return min(self._most, there) if self._most else there

    def state(self, attempt: str) -> dict[str, Any]:
        """Returns what the node of an attempt said last; empty before it has begun."""
        if time.monotonic() - self._asked_at >= REFRESH / 3:
            self._states = {name: json.loads(text) for name, text in self.call("states").items()}
            self._asked_at = time.monotonic()
        found: dict[str, Any] = self._states.get(attempt, {})
        return found

    def call(self, method: str, *arguments: Any) -> Any:
        """Calls a method of ``Head`` and returns its answer. Raises RunError where the cluster is gone."""
        try:
            return self.ray.get(getattr(self.head, method).remote(*arguments))
        except self.ray.exceptions.RayError as error:
            raise RunError("the Ray cluster does not answer", _first_sentence(error), AGAIN) from error

    def start(self, job: Job) -> RayAttempt:
        """Submits a job. Raises RunError if its log cannot be written."""
        return RayAttempt(self, job)


class RayAttempt:
    """A job on the cluster, over all the tasks that it takes."""

    def __init__(self, backend: RayBackend, job: Job) -> None:
        self.job = job
        self._backend, self._ray = backend, backend.ray
        self._store = job.files.store if job.files else job.log.parent
        self._asked, self._killed_at = "", 0.0
        self._code: int | None = None
        self._progress, self._reached, self._lost, self._note = 0.0, 0.0, 0, ""
        self._error: BenchError | None = None
        self._submit()

    def _submit(self) -> None:
        """Starts a task."""
        job, store = self.job, self._store.absolute()
        found, slots = self._backend.resources(), min(self.job.slots, self._backend.slots)
        gpus, cores = int(found.get("GPU", 0)), int(found.get("CPU", 0))
        log = job.log.absolute().relative_to(store).as_posix()
        self._id, makes = uuid.uuid4().hex, list(job.files.makes) if job.files else []
        self._token = store / token_name(log, self._id)
        with writing(job.log):
            job.log.parent.mkdir(parents=True, exist_ok=True)
            self._token.write_text(self._id, encoding="utf-8")
        paths = [str(path.absolute()) for path in (store, job.log, job.status)]
        needs = list(job.files.needs()) if job.files else []
        spec = Spec(
            attempt=self._id,
            name=job.name,
            command=list(job.command),
            store=str(self._store),
            absolute_store=str(store),
            log=log,
            makes=makes,
            sendable=job.files is not None,
            threads=job.threads or (max(1, cores // gpus) * slots if gpus else slots),
            environment=dict(job.environment),
            folder=os.getcwd(),
            versions=versions(self._ray.__version__),
        )
        self._backend.call("begin", self._id, *paths, needs, makes)
        # Ray's own retries would not know whether a job gets on
        options = {"num_cpus": slots, "num_gpus": slots if gpus else 0, "max_retries": 0, "name": f"bench {job.name}"}
        self._task = self._backend.task.options(**options).remote(spec.to_json(), self._backend.head)

    def poll(self) -> int | None:
        """Returns the exit status, negative for a signal; None while it runs or is to run again."""
        if self._code is not None:
            return self._code
        state = self._backend.state(self._id)
        self._progress, self._note = max(self._progress, float(state.get("progress", 0.0))), read_note(state)
        if self._killed_at and time.monotonic() - self._killed_at > KILL_AFTER:
            self._ray.cancel(self._task, force=True)
        if not self._ray.wait([self._task], timeout=0)[0]:
            return None
        with suppress(OSError):
            self._token.unlink()
        code = self._result()
        self._backend.call("end", self._id)
        if code is None:
            self._again()
        else:
            self._code = code
        return self._code

    def _result(self) -> int | None:
        """Returns the exit status of the task that has ended; None if it was broken off. Keeps its error."""
        errors = self._ray.exceptions
        try:
            result = json.loads(self._ray.get(self._task))
        except errors.TaskCancelledError:
            return 130
        except errors.RayTaskError as error:
            self._error = self._unforeseen(error)
            return self._error.code
        except errors.RayError as error:
            self._error = self._broken_off(f"its worker or node was lost: {_first_sentence(error)}")
            return 130 if self._asked else None
        code = int(result["code"])
        if code:
            lines = result["error"] or [f"{self.job.name} failed", "no reason arrived", f"see {self.job.log}"]
            self._error = error_class(code)(*lines)
        return None if code in BROKEN_OFF and not self._asked else code

    def _again(self) -> None:
        """Starts a task in the place of one that was broken off, or gives up."""
        self._lost = 1 if self._progress > self._reached else self._lost + 1
        self._reached = self._progress
        if self._lost >= TRIES:
            self._error = self._error or self._broken_off("it was broken off")
            self._code = RunError.code
            return
        with suppress(OSError), self.job.log.open("a", encoding="utf-8") as log:
            log.write(f"broken off ({self._error.cause if self._error else ''}); started again\n")
        self._submit()

    def _broken_off(self, cause: str) -> BenchError:
        remedy = f"see {self.job.log}; finished work is kept, so run the same command again"
        return RunError(f"{self.job.name} failed", cause, remedy)

    def _unforeseen(self, error: Any) -> BenchError:
        """Returns the error of a task that did not come as far as its command, or of a node's files."""
        cause = getattr(error, "cause", None)
        if isinstance(cause, BenchError):
            return cause
        if isinstance(cause, ModuleNotFoundError) or "ModuleNotFoundError" in str(error):
            return MissingError(
                f"{self.job.name} failed",
                f"a Ray node cannot import benchbench: {_last_line(error)}",
                "install the same version on every node, and start Ray there again",
            )
        return self._broken_off(f"its Ray task ended: {_last_line(error)}")

    def progress(self) -> float:
        """Returns 0.99 times the largest reported fraction; 1 once the job has ended."""
        return 1.0 if self._code is not None else self._progress

    def note(self) -> str:
        """Returns the note that arrived last."""
        return self._note

    def error(self) -> BenchError:
        """Returns the error of the failed job, as its node worded it."""
        return self._error or self._broken_off("no reason arrived")

    def cancel(self) -> None:
        """Requests the job to save its work and end; takes back a task that has not begun."""
        if self._code is None and not self._asked:
            self._ask(CANCEL)
            if not self._backend.state(self._id):
                self._ray.cancel(self._task)

    def kill(self) -> None:
        """Ends the job at once."""
        if self._code is None:
            self._killed_at = time.monotonic()
            self._ask(KILL)

    def _ask(self, request: str) -> None:
        self._asked = request
        self._backend.call("ask", self._id, request)

    def wait(self) -> None:
        """Waits until the job has ended."""
        while self.poll() is None:
            time.sleep(0.1)


def _lines(error: Exception) -> list[str]:
    return [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]


def _first_sentence(error: Exception) -> str:
    return _lines(error)[0].partition(". ")[0]


def _last_line(error: Exception) -> str:
    return _lines(error)[-1]
