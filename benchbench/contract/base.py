"""The parts of a contract check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Check = tuple[str, Callable[[], None]]
"""What is checked, in words, and the function that checks it. It raises ContractError where the check fails."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check: what was checked, and the problem, which is empty where the check passed."""

    check: str
    problem: str = ""


class ContractError(Exception):
    """A plug-in breaks its contract; the message says how."""


def expect(condition: object, problem: str) -> None:
    """Raises ContractError with this problem unless the condition holds."""
    if not condition:
        raise ContractError(problem)
