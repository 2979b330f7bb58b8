"""Reward servers on this machine: the reference server in a thread or a process, and one that answers as it is told."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import uvicorn

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "reward_server"
INFO: dict[str, Any] = {
    "name": "ruler",
    "version": "1",
    "unit": "signs",
    "higher_is_better": True,
    "needs": [],
    "max_batch": 4,
}


def reward_protocol() -> ModuleType:
    """Returns the protocol's file of the example, which lies in no package."""
    return example("reward_protocol")


def example(name: str) -> ModuleType:
    """Returns a file of the example by its name."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@contextmanager
def reference(score: Callable[..., Any], **info: Any) -> Iterator[str]:
    """Serves a function with the reference server in a thread; yields its address."""
    facts = {"name": "ruler", "version": "1", "unit": "signs", **info}
    with serving(score, reward_protocol().Info(**facts)) as address:
        yield address


@contextmanager
def serving(score: Callable[..., Any], info: Any) -> Iterator[str]:
    """Serves a function as the reward that ``info`` describes; yields its address."""
    config = uvicorn.Config(reward_protocol().make_app(score, info), port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@dataclass
class Reply:
    """The told server's answer to one request; ``pause`` are seconds before it does."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0

    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def scores_of(request: Mapping[str, Any]) -> list[float]:
    """Returns the length of each prompt."""
    return [float(len(prompt)) for prompt in request["prompts"]]


Answer = Callable[[int, Mapping[str, Any]], Any]
"""From the number of a request for scores (0, 1, ...) and its content to a Reply, or to the JSON of one."""


class Told:
    """A server that is told what to answer: ``info`` to GET, and what ``answer`` returns to POST."""

    def __init__(self, answer: Answer, info: Any = INFO) -> None:
        self.answer, self.info = answer, info
        self.requests = list[dict[str, Any]]()
        self.paths = list[str]()
        told = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                told.paths.append(self.path)
                self.send(told.info if isinstance(told.info, Reply) else Reply(told.info))

            def do_POST(self) -> None:
                told.paths.append(self.path)
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told.requests.append(request)
                answer = told.answer(len(told.requests) - 1, request)
                self.send(answer if isinstance(answer, Reply) else Reply(answer))

            def send(self, reply: Reply) -> None:
                time.sleep(reply.pause)
                data = reply.data()
                headers = {"Content-Type": "application/json", "Content-Length": str(len(data)), **reply.headers}
                try:
                    self.send_response(reply.status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:  # the client has gone
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Told:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def right(request: Mapping[str, Any], **other: Any) -> dict[str, Any]:
    """Returns a right answer to a request for scores, with ``other`` fields."""
    return {"version": "1", "scores": scores_of(request), **other}


@contextmanager
def process(*words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Runs serve.py with these words in a process of its own; yields its address and the process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    started = subprocess.Popen(
        [sys.executable, str(FOLDER / "serve.py"), *words], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert started.stdout is not None
        line = started.stdout.readline()
        assert line.startswith("serving "), line
        yield line.split()[-1], started
    finally:
        started.kill()
        started.wait()
