"""Turns an unforeseen error into three lines: too little memory, a path that cannot be used, a fault of ours."""

from __future__ import annotations

from benchbench.errors import BenchError, NoMemoryError, RunError
from benchbench.runtime.file_errors import explained
from benchbench.runtime.memory import FEWER, memory_error_cause, out_of_memory


def as_bench_error(error: Exception) -> BenchError:
    """Returns the error itself if it is one of ours, and else the one that says what a user can do."""
    if isinstance(error, BenchError):
        return error
    if out_of_memory(error):
        return NoMemoryError("out of memory", memory_error_cause(error), FEWER)
    found = explained(error) if isinstance(error, OSError) else None
    return found or RunError(
        "internal error (please report it)",
        f"{type(error).__name__}: {error}",
        "run it again with BENCH_DEBUG=1 and put the traceback into the report",
    )
