"""Runs real processes that gloo joins on this machine: forks of one interpreter, which imports everything once."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from tests.forked import run

PRELUDE = """
import json, os, sys, traceback
import torch
import torch.distributed, accelerate
import benchbench.train.loop, benchbench.runtime.launch
size, folder, arguments = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
children = []
for rank in range(size):
    pid = os.fork()
    if pid == 0:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
        break
    children.append(pid)
else:
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    sys.exit(f"exit codes of the ranks: {codes}" if any(codes) else 0)  # a signal's code is negative

def run():
    from benchbench.errors import BenchError
    out = {}
    try:
        out["value"] = main(arguments)
    except BenchError as error:
        out["error"] = [type(error).__name__, error.problem, error.cause]
    except Exception:
        out["traceback"] = traceback.format_exc()
    with open(os.path.join(folder, f"{rank}.json"), "w") as file:
        json.dump(out, file)
    sys.stderr.flush()
    os._exit(0)  # what the interpreter tidies up at its end takes longer in a fork than most of what is tested
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_ranks(size: int, folder: Path, code: str, arguments: Any = None, timeout: float = 600) -> list[dict[str, Any]]:
    """What ``main(arguments)`` of ``code`` gave on each rank: {"value": ...}, {"error": [kind, problem, cause]} or
    {"traceback": ...}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    words = ["-c", f"{PRELUDE}\n{code}\nrun()\n", str(size), str(folder), json.dumps(arguments)]
    status, output = run(words, folder / "output.txt", timeout, environment=env)
    assert status == 0, output
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(size)]
