"""Memory plans made in a process of their own, which sees no GPU.

The count runs the training code on fake CUDA tensors and replaces parts of PyTorch while it does. Here none of that can
reach the process that trains, and the count is the same on a machine with a GPU as on one without, where it is tested.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchbench import errors
from benchbench.config import RunConfig
from benchbench.errors import BenchError, RunError
from benchbench.train.memory_plan import MemoryPlan, plans

SECONDS = 600  # SDXL takes two minutes on a slow core


def plans_apart(config: RunConfig, totals: Sequence[int], dtype: str | None = None) -> list[MemoryPlan]:
    """Returns what ``memory_plan.plans`` returns. Errors: its own, and RunError for a process that fails or is late."""
    asked = {"config": config.model_dump(mode="json"), "totals": list(totals), "dtype": dtype}
    words, env = [sys.executable, "-m", "benchbench.train.memory_child"], {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = subprocess.run(words, input=json.dumps(asked), env=env, capture_output=True, text=True, timeout=SECONDS)
        told = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, OSError, ValueError, IndexError) as error:
        raise RunError(
            "the memory of this run could not be counted",
            f"{type(error).__name__}: {error}",
            "name the parts yourself: --set train.micro_batch=2 train.gradient_checkpointing=on",
        ) from error
    if "error" in told:
        kind, lines = told["error"]
        raise getattr(errors, kind, RunError)(*lines)
    return [MemoryPlan(**plan) for plan in told["plans"]]


def main() -> None:
    """Reads what is asked from the standard input, and prints the plans, or the error, as one line of JSON."""
    asked = json.load(sys.stdin)
    told: dict[str, Any]
    try:
        made = plans(RunConfig.model_validate(asked["config"]), asked["totals"], asked["dtype"])
        told = {"plans": [asdict(plan) for plan in made]}
    except BenchError as error:
        told = {"error": [type(error).__name__, [error.problem, error.cause, error.remedy]]}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
