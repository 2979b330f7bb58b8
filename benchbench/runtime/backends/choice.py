"""Makes the backend that the options of a command name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchbench.errors import UsageError
from benchbench.runtime.backends.base import Backend
from benchbench.runtime.backends.local import LocalBackend
from benchbench.runtime.backends.ray_backend import RayBackend
from benchbench.runtime.backends.ray_cluster import AUTO
from benchbench.runtime.backends.slurm_backend import SlurmBackend
from benchbench.runtime.backends.slurm_options import parameters

NAMES = ("local", "ray", "slurm")


@dataclass(frozen=True)
class BackendChoice:
    """Where a command runs its jobs, as its options say."""

    on: str = "local"
    """One of ``NAMES``."""
    jobs: int | None = None
    """Jobs at a time. None: as many as the backend has room for."""
    slurm: tuple[str, ...] = ()
    """Options of sbatch as ``KEY=VALUE``, each word with one or several of them."""
    ray_address: str = AUTO
    """The Ray cluster, as HOST:PORT; ``auto`` is the one that is there, else one of this machine alone."""

    def backend(self, useful: int) -> Backend:
        """Returns the backend; ``useful`` is the largest number of jobs that could run at a time.

        Errors: those of ``check``, and those of the backend.
        """
        self.check()
        if self.on == "slurm":
            return SlurmBackend.make(self.jobs, useful, words(self.slurm, "--slurm"))
        if self.on == "ray":
            return RayBackend.make(self.ray_address, self.jobs)
        return LocalBackend.make(self.jobs, useful)

    def slots(self, useful: int) -> int:
        """Returns the number of jobs at a time for a plan that is only shown: no cluster is asked.

        Errors: those of ``check``.
        """
        self.check()
        here = LocalBackend.make(self.jobs, useful).slots if self.on == "local" else self.jobs or useful
        return max(1, min(here, useful))

    def check(self) -> None:
        """Raises UsageError for a name that no backend has, and for options that the backend does not take."""
        if self.on not in NAMES:
            raise UsageError(f"there is no backend {self.on!r}", f"jobs run on {', '.join(NAMES)}", "use --on local")
        if self.slurm and self.on != "slurm":
            raise UsageError("--slurm has no effect here", f"the jobs run on {self.on}", "add --on slurm")
        if self.ray_address != AUTO and self.on != "ray":
            raise UsageError("--ray-address has no effect here", f"the jobs run on {self.on}", "add --on ray")
        if self.on == "slurm":
            parameters(words(self.slurm, "--slurm"))


def alone(choice: BackendChoice) -> Backend:
    """Returns the backend of jobs whose time is measured: they run one after the other on this machine."""
    if choice.on != "local" or choice.jobs not in (None, 1):
        raise UsageError(
            "this table measures times", "jobs beside each other would change them", "leave out --on and --jobs"
        )
    return LocalBackend(1)


def words(options: Sequence[str], option: str) -> dict[str, str]:
    """Returns ``KEY=VALUE`` words, separated by commas or given several times, as a dict. Errors: UsageError."""
    pairs = [word.strip() for words in options for word in words.split(",") if word.strip()]
    for pair in pairs:
        if not pair.partition("=")[0] or "=" not in pair:
            raise UsageError(f"{option} {pair!r} is not KEY=VALUE", "it has no = or no key", f"{option} time=8:00:00")
    return {key.strip(): value.strip() for key, _, value in (pair.partition("=") for pair in pairs)}
