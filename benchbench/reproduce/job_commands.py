"""The commands of a plan, a line each, for a scheduler that ``--on`` does not know."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from benchbench.reproduce.plan import Plan
from benchbench.reproduce.plan_jobs import open_measurement_jobs, training_jobs
from benchbench.runtime.hashing import one_hash_cache
from benchbench.runtime.words import counted


def command_lines(plan: Plan, store: Path) -> Iterator[str]:
    """Yields comments and the command of each job that is left, which goes on where an earlier one was killed.

    ``store`` is an absolute path, so that a command runs in any folder. Trainings come first; measurements read what
    these made, and the comments say so.
    """
    left = training_jobs(plan, store)
    if left:
        yield f"# {counted(len(left), 'training')}, in any order and at any number at a time"
    yield from (_line(job.command) for job in left)
    with one_hash_cache():
        measurements = open_measurement_jobs(plan, store)
    if measurements:
        count = counted(len(measurements), "measurement")
        yield f"# {count}, once the trainings have ended; those of the base model come first"
    yield from (_line(job.command) for job in measurements)
    yield "# the report: the same command without --print-commands"


def _line(words: tuple[str, ...]) -> str:
    return shlex.join([sys.executable, "-m", *words])
