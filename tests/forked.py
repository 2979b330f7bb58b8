"""Starts Python processes without the seconds that the libraries' import takes: a server imports them once and forks.

A process of ``Forked`` has its own id, signals, environment, working folder and output, as one of ``subprocess.Popen``
has; only its imports are shared. Tests that are about the start of a process use ``subprocess``.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchbench.runtime.backends import local

PRELOADED = [  # by their names, since a job imports most of them when it begins to work
    "scipy.stats",
    "matplotlib.pyplot",
    "pytest",
    "tensorboard.compat.proto.event_pb2",
    "torch.utils.tensorboard",
    "torch._dynamo",
    "diffusers.models.unets.unet_2d_condition",
    "diffusers.models.autoencoders.autoencoder_kl",
    "transformers.models.clip.modeling_clip",
    "transformers.models.clip.tokenization_clip",
    "peft.tuners.lora",
    "benchbench.train.loop",
    "benchbench.train.setup",
    "benchbench.evaluate.measure",
    "benchbench.reproduce.run",
]


class Forked:
    """A process that runs ``python WORDS``, where the words begin with ``-m MODULE`` or ``-c CODE``.

    Both streams go to the end of ``output``. A process that is such a process itself forks without the server.
    """

    def __init__(
        self,
        words: Sequence[str],
        output: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        new_session: bool = False,
    ) -> None:
        context: Any = multiprocessing.get_context("fork" if multiprocessing.parent_process() else "forkserver")
        context.set_forkserver_preload(PRELOADED)
        environment = dict(os.environ if environment is None else environment)
        arguments = ([str(word) for word in words], output.absolute(), environment, folder or Path.cwd(), new_session)
        self._process = context.Process(target=_begin, args=arguments)
        self._process.start()
        self.pid: int = self._process.pid
        self.returncode: int | None = None
        if new_session:
            self._await_session()

    def _await_session(self) -> None:
        """Waits until the process leads a group of its own, which can then be killed."""
        with suppress(ProcessLookupError):  # it has ended already
            while self.poll() is None and os.getpgid(self.pid) != self.pid:
                time.sleep(0.001)

    def poll(self) -> int | None:
        """Returns the exit status, negative for a signal; None while it runs."""
        self.returncode = self._process.exitcode
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Returns the exit status once it has ended. Raises TimeoutExpired."""
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
        return self._process.exitcode

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Sends SIGKILL."""
        self._process.kill()


def run(words: Sequence[str], output: Path, timeout: float = 600, **options: Any) -> tuple[int, str]:
    """Runs a process to its end; returns its exit status and all that ``output`` holds."""
    process = Forked(words, output, **options)
    try:
        status = process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return status, output.read_text()


def _begin(words: list[str], output: Path, environment: dict[str, str], folder: Path, new_session: bool) -> None:
    """Turns a fork into the process that was asked for."""
    if new_session:
        os.setsid()
    with output.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", 1)))  # torch read that of the server
    os.chdir(folder)
    option, what, *rest = words
    sys.argv = [option if option == "-c" else what, *rest]
    if option == "-c":
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    else:
        warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning)  # the server has imported it, too
        runpy.run_module(what, run_name="__main__", alter_sys=True)


def fork_jobs() -> None:
    """Makes the jobs of this machine forks from now on, in a process that ends soon."""
    local.subprocess = SimpleNamespace(Popen=_popen, DEVNULL=subprocess.DEVNULL, STDOUT=subprocess.STDOUT)  # type: ignore[assignment]


def _popen(words: list[str], stdout: Any, env: Mapping[str, str], **streams: int) -> Forked:
    """Stands in for the call of ``subprocess.Popen`` that starts a job."""
    assert words[0] == sys.executable and streams == {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    return Forked(words[1:], Path(stdout.name), env)


@contextmanager
def forking_jobs() -> Iterator[None]:
    """Makes the jobs of this machine forks within the block."""
    fork_jobs()
    try:
        yield
    finally:
        local.subprocess = subprocess


@pytest.fixture
def forked_jobs() -> Iterator[None]:
    """Makes the jobs that a test starts on this machine forks."""
    with forking_jobs():
        yield
