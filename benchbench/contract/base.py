"""What a check is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Check = tuple[str, Callable[[], None]]
"""What is looked at, and the function that raises Broken, or whatever a plug-in raises, where it does not hold."""


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, and what is wrong, empty where nothing is."""

    what: str
    problem: str = ""


class Broken(Exception):
    """What a check found, in words."""


def need(holds: object, problem: str) -> None:
    """Raises Broken unless it holds."""
    if not holds:
        raise Broken(problem)
