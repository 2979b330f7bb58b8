"""The main function of a job's process that is not a ``bench`` command."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from benchbench.runtime.interrupt import signals_as_ctrl_c
from benchbench.runtime.output import saving
from benchbench.runtime.printable import printable
from benchbench.runtime.status import report_done, report_error, report_start
from benchbench.runtime.unexpected import as_bench_error


def run_job(work: Callable[[], object]) -> int:
    """Does the work and returns the exit status; reports its start and its end, and an error, to the runner.

    The traceback of what nobody foresaw is in the job's log.
    """
    report_start()
    try:
        with signals_as_ctrl_c(), saving():
            work()
    except Exception as raised:
        error = as_bench_error(raised)
        if error is not raised or os.environ.get("BENCH_DEBUG"):
            traceback.print_exc()
        report_error(error)
        print(f"error: {printable(error, keep=chr(10))}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130
    report_done()
    return 0
