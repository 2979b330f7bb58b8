"""A job, and what a backend does with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchbench.errors import BenchError


@dataclass(frozen=True, eq=False)
class Job:
    """A command that a process of its own runs, and what it needs.

    The command is idempotent: it makes what is missing, and run again it goes on from what is there.
    """

    name: str
    """What a person reads: in the progress bar and in errors."""
    command: tuple[str, ...]
    """The words after ``python -m``."""
    log: Path
    """Its output is appended to this file."""
    weight: float = 1.0
    """How long it may take beside the other jobs, in any unit."""
    slots: int = 1
    """How many of the backend's slots it takes."""
    threads: int | None = None
    """Threads of its tensor operations; None: its slots' share of the cores."""
    exclusive: bool = False
    """Whether nothing may run beside it."""
    after: tuple[Job, ...] = ()
    """Jobs of the same run that have to end first."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that it sees besides those of this process."""

    @property
    def status(self) -> Path:
        """The file where its process says how far it is and why it failed (runtime/status.py)."""
        return self.log.with_suffix(".status.jsonl")


class Attempt(Protocol):
    """A job that a backend has started."""

    job: Job

    def poll(self) -> int | None:
        """Returns the exit status, negative for a signal; None while it runs."""

    def progress(self) -> float:
        """Returns how much of it is done, from 0 to 1."""

    def error(self) -> BenchError:
        """Returns why it failed."""

    def cancel(self) -> None:
        """Asks it to save what it has and end."""

    def kill(self) -> None:
        """Ends it at once."""

    def wait(self) -> None:
        """Waits until it has ended."""


class Backend(Protocol):
    """A place to run jobs, for so many slots at a time."""

    slots: int

    def start(self, job: Job) -> Attempt:
        """Starts a job."""
