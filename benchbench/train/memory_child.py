"""Makes memory plans in a child process that sees no GPU.

The estimate runs the training code on fake CUDA tensors and replaces parts of PyTorch while it does. In a child none of
that can reach the process that trains, and the estimate is the same on machines with and without a GPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from benchbench import errors
from benchbench.config import RunConfig
from benchbench.errors import BenchError, RunError
from benchbench.runtime.files import Log
from benchbench.train import memory_cache
from benchbench.train.memory_plan import MemoryPlan, plans

SECONDS = 600  # limit of the child; SDXL takes two minutes on a slow core


def plans_in_child(
    config: RunConfig, totals: Sequence[int], dtype: str | None = None, log: Log = lambda _: None
) -> list[MemoryPlan]:
    """Returns what ``memory_plan.plans`` returns, from disk where the same plans were made before; logs an estimate.

    Errors: those of ``memory_plan.plans``, and RunError for a child that fails or takes longer than ``SECONDS``.
    """
    file = memory_cache.plan_file(config, totals, dtype)
    known = memory_cache.find(file)
    if known is None:
        log("estimating what fits into this card's memory: about 15 seconds, for SDXL and SD 3.5 minutes")
        known = _estimated(config, totals, dtype)
        with suppress(RunError):  # on a read-only disk the next run estimates again
            memory_cache.keep(file, known)
    return known


def _estimated(config: RunConfig, totals: Sequence[int], dtype: str | None) -> list[MemoryPlan]:
    request = {"config": config.model_dump(mode="json"), "totals": list(totals), "dtype": dtype}
    command, env = [sys.executable, "-m", "benchbench.train.memory_child"], {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    try:
        child = subprocess.run(
            command, input=json.dumps(request), env=env, capture_output=True, text=True, timeout=SECONDS
        )
        answer = json.loads(child.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, OSError, ValueError, IndexError) as error:
        raise RunError(
            "the memory of this run could not be estimated",
            f"{type(error).__name__}: {error}",
            "set the memory use yourself: --set train.micro_batch=2 train.gradient_checkpointing=on",
        ) from error
    if "error" in answer:
        error_class, lines = answer["error"]
        raise getattr(errors, error_class, RunError)(*lines)
    return [MemoryPlan(**plan) for plan in answer["plans"]]


def main() -> None:
    """Reads a request from the standard input, and prints the plans, or the error, as one line of JSON."""
    request = json.load(sys.stdin)
    answer: dict[str, Any]
    try:
        result = plans(RunConfig.model_validate(request["config"]), request["totals"], request["dtype"])
        answer = {"plans": [asdict(plan) for plan in result]}
    except BenchError as error:
        answer = {"error": [type(error).__name__, [error.problem, error.cause, error.remedy]]}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
