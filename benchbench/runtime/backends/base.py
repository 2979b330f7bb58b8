"""A job, and the interface of a backend that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchbench.errors import BenchError


@dataclass(frozen=True)
class StoreFiles:
    """The files of a store that a job reads and makes, for a machine that does not see the store.

    A pattern is relative to the store and matches name by name; one that ends in ``/**`` matches all below a folder.
    """

    store: Path
    """The store's folder, as it is written in the command."""
    needs: Callable[[], Sequence[str]]
    """Returns the patterns of the files that the job reads, and of those that it may go on from."""
    makes: Sequence[str]
    """The patterns of the files that the job makes, changes or removes."""


@dataclass(frozen=True, eq=False)
class Job:
    """A command to run in its own process, and what it needs.

    The command is idempotent: it makes what is missing, and a second run continues from what exists.
    """

    name: str
    """The name shown in the progress bar and in errors."""
    command: tuple[str, ...]
    """The words after ``python -m``."""
    log: Path
    """The file to which its output is appended."""
    weight: float = 1.0
    """Its expected duration relative to the other jobs, in any unit."""
    slots: int = 1
    """The number of the backend's slots that it takes."""
    threads: int | None = None
    """The number of threads for tensor operations; None: the share of the cores that belongs to its slots."""
    exclusive: bool = False
    """True if the job must run alone."""
    after: tuple[Job, ...] = ()
    """Jobs of the same call of ``run`` that must succeed first."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables, added to those of this process."""
    files: StoreFiles | None = None
    """The files of the store that it reads and makes. None: it runs only where the folder of its log is shared."""

    @property
    def status(self) -> Path:
        """The file to which its process reports progress and its error (runtime/status.py)."""
        return self.log.with_suffix(".status.jsonl")


class Attempt(Protocol):
    """A job that a backend has started."""

    job: Job

    def poll(self) -> int | None:
        """Returns the exit status, negative for a signal; None while it runs."""

    def progress(self) -> float:
        """Returns the finished fraction, from 0 to 1."""

    def note(self) -> str:
        """Returns what the job has found so far, as ``reward 16.9``; empty where it says nothing."""

    def error(self) -> BenchError:
        """Returns the error of a failed job."""

    def cancel(self) -> None:
        """Requests the job to save its work and end."""

    def kill(self) -> None:
        """Ends the job at once."""

    def wait(self) -> None:
        """Waits until the job has ended."""


class Backend(Protocol):
    """Runs jobs, at most ``slots`` slots of them at a time."""

    detached: bool
    """True if jobs go on without this process, as in a queue; only Ctrl-C ends them then."""

    @property
    def slots(self) -> int:
        """The number of slots; it may change while jobs run."""

    def start(self, job: Job) -> Attempt:
        """Starts a job."""
