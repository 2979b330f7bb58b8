"""The main function of a job's process that is not a ``bench`` command."""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchbench.errors import BenchError
from benchbench.runtime.interrupt import signals_as_ctrl_c
from benchbench.runtime.status import report_error


def run_job(work: Callable[[], object]) -> int:
    """Does the work and returns the exit status; prints an error and reports it to the runner of the job."""
    try:
        with signals_as_ctrl_c():
            work()
    except BenchError as error:
        report_error(error)
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130
    return 0
