"""Checks the contract of a method, reward or prompt set: ``bench check NAME``.

Built-ins and third-party plug-ins pass the same checks.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from benchbench import registry
from benchbench.contract.base import CheckResult, ContractError
from benchbench.errors import BenchError, UsageError


def run_checks(name: str) -> tuple[str, list[CheckResult]]:
    """Runs every check of the plug-in's contract; returns its kind, such as "method", and the results.

    Errors: UsageError for an unknown name, and for a plug-in that does not load.
    """
    groups = [group for group in registry.GROUPS if name in registry.names(group)]
    if not groups:
        known = [known for group in registry.GROUPS for known in registry.names(group)]
        raise registry.unknown("method, reward or prompt set", name, known, "`bench list KIND` shows every name")
    plugin = registry.get(groups[0], name)
    contract = importlib.import_module(f"benchbench.contract.{groups[0]}")
    return registry.SINGULAR[groups[0]], [_run(title, test) for title, test in contract.checks(name, plugin)]


def _run(title: str, test: Callable[[], None]) -> CheckResult:
    try:
        test()
    except ContractError as error:
        return CheckResult(title, str(error))
    except BenchError as error:
        return CheckResult(title, f"{error.problem}: {error.cause}")
    except Exception as error:  # any exception of a plug-in is a failed check, not a crash of bench
        return CheckResult(title, f"{type(error).__name__}: {error}")
    return CheckResult(title)


def check(name: str) -> tuple[str, list[CheckResult]]:
    """Runs the checks like ``run_checks``. Errors: also UsageError, which lists every problem, where a check fails."""
    kind, results = run_checks(name)
    problems = [f"{result.check}: {result.problem}" for result in results if result.problem]
    if problems:
        raise UsageError(
            f"the {kind} {name!r} fails {len(problems)} of {len(results)} checks of its contract",
            "; ".join(problems),
            "see CONTRIBUTING.md, fix the problems and run `bench check` again",
        )
    return kind, results
