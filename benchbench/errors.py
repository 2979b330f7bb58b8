"""Errors that a user can act on: three lines each, and the exit code of the command; several of them as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class BenchError(Exception):
    """A problem, its cause and its remedy; the command line prints these three lines and no traceback.

    ``code`` is the exit status of the process: 2 usage or config, 3 missing weights or data, 4 damaged or wrong file, 5
    failed run. (0 is success, 130 an interruption.)
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
    """A name, an option or a setting cannot be used."""

    code = 2


class MissingError(BenchError):
    """Weights or data are not on this machine."""

    code = 3


class CorruptError(BenchError):
    """A file is damaged, or belongs to another model, run or store."""

    code = 4


class RunError(BenchError):
    """A run could not go on: a non-finite reward, a full disk."""

    code = 5


class NoMemoryError(RunError):
    """The memory is too small, even for one row at a time."""


def error_class(code: int) -> type[BenchError]:
    """Returns the error class with this exit code; RunError for any unknown code."""
    classes = (UsageError, MissingError, CorruptError)
    return next((error_type for error_type in classes if error_type.code == code), RunError)


def all_at_once(*checks: Callable[[], Any]) -> list[Any]:
    """Returns the result of each check; raises all their errors as one, so that the user corrects them together."""
    errors: list[BenchError] = []
    results = []
    for check in checks:
        try:
            results.append(check())
        except (UsageError, MissingError) as error:
            if str(error) not in map(str, errors):
                errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        error_class = MissingError if all(isinstance(error, MissingError) for error in errors) else UsageError
        raise error_class(
            "; ".join(error.problem for error in errors),
            "; ".join(error.cause for error in errors),
            "; ".join(dict.fromkeys(error.remedy for error in errors)),
        )
    return results
