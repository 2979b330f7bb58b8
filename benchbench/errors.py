"""Errors that a user can act on, in three lines, and the exit code each of them ends the command with."""

from __future__ import annotations


class BenchError(Exception):
    """A problem, its cause and its remedy; the command line prints the three and no traceback.

    ``code`` is the process's exit status: 2 usage or config, 3 missing weights or data, 4 corrupt or mismatching file,
    5 the run failed. (0 is success, 130 an interruption.)
    """

    code = 5

    def __init__(self, problem: str, cause: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem, self.cause, self.remedy = problem, cause, remedy

    def __str__(self) -> str:
        return f"{self.problem}\n  why: {self.cause}\n  do:  {self.remedy}"

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (self.problem, self.cause, self.remedy)


class UsageError(BenchError):
    """A name, option or config value that cannot be used."""

    code = 2


class MissingError(BenchError):
    """Weights or data that are not on this machine."""

    code = 3


class CorruptError(BenchError):
    """A file that is damaged, or that belongs to something else."""

    code = 4


class RunError(BenchError):
    """A run that could not go on: a non-finite reward, a full disk."""

    code = 5


class NoMemoryError(RunError):
    """Too little memory, even for one row at a time."""


def error_class(code: int) -> type[BenchError]:
    """Returns the class of the errors that end a process with ``code``; RunError for a code that is no class's own."""
    return next((kind for kind in (UsageError, MissingError, CorruptError) if kind.code == code), RunError)
