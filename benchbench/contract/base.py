"""The parts of a contract check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Check = tuple[str, Callable[[], None]]
"""A check: its title in words, and the function that checks it.

It raises ContractError where the check fails, and NotRun where it cannot be made.
"""


Outcome = Literal["passed", "failed", "not run"]


@dataclass(frozen=True)
class CheckResult:
    """The result of one check: what was checked, the outcome, and why it failed or was not run."""

    check: str
    outcome: Outcome = "passed"
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.outcome}: {self.reason}" if self.reason else self.outcome


class ContractError(Exception):
    """A plug-in breaks its contract; the message says how."""


class NotRun(Exception):
    """A check cannot be made; the message says why."""


def expect(condition: object, problem: str) -> None:
    """Raises ContractError with this problem unless the condition holds."""
    if not condition:
        raise ContractError(problem)
