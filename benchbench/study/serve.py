"""Serves a study with uvicorn until Ctrl-C. Imports the application, which needs the extra ``study``, only inside."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from pathlib import Path

from benchbench.errors import MissingError, UsageError
from benchbench.runtime.files import Log
from benchbench.study.folder import check_pictures, read_study
from benchbench.study.vote_store import FILE, VoteStore

PACKAGES = ("starlette", "uvicorn")


def serve(folder: Path, host: str, port: int, log: Log = print) -> None:
    """Serves the study in a folder; ``port`` 0 takes a free one. Errors: MissingError, UsageError, CorruptError."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingError(
            "a study cannot be served here",
            f"{' and '.join(missing)} are not installed",
            "pip install 'benchbench[study]'",
        )
    study = read_study(folder)
    check_pictures(folder, study)
    with _listen(host, port) as listening:
        votes = VoteStore(folder / FILE, study)
        try:
            for line in _links(votes, f"http://{_shown(host)}:{listening.getsockname()[1]}"):
                log(line)
            _run(folder, votes, listening)
        finally:
            votes.close()


def _run(folder: Path, votes: VoteStore, listening: socket.socket) -> None:
    import uvicorn

    from benchbench.study.app import make_app

    config = uvicorn.Config(
        make_app(votes.study, folder, votes), log_level="warning", access_log=False, server_header=False, lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """Returns a socket at the address. Raises UsageError where another program has it or there is none."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"the study cannot be served at {host}, port {port}", str(error), "name another --port or --host"
        ) from error


def _shown(host: str) -> str:
    """Returns the host for links: this machine's name where all of its addresses are served."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _links(votes: VoteStore, address: str) -> list[str]:
    """Returns lines with every link; whoever has a link can answer as that rater."""
    lines = [f"a link for each rater of {votes.study.name}:"]
    lines += [f"  {slot + 1}: {address}/r/{token}" for slot, token in enumerate(votes.tokens())]
    join = f"{address}/join/{votes.access('join')}"
    return [
        *lines,
        f"one link for all, which takes a free place: {join}",
        f"for Prolific: {join}?PROLIFIC_PID={{{{%PROLIFIC_PID%}}}}",
        f"completion code: {votes.access('completion')}",
        f"progress: {address}/admin/{votes.access('admin')}",
        "serving until Ctrl-C; every vote is stored at once",
    ]
