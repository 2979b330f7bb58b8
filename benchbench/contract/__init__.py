"""Checks the contract of a method, reward or prompt set: ``bench check NAME``.

Built-ins and third-party plug-ins pass the same checks.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from benchbench import registry
from benchbench.contract.base import CheckResult, ContractError, NotRun
from benchbench.errors import BenchError, UsageError
from benchbench.prompt_set import PromptSet
from benchbench.rewards import lookup
from benchbench.rewards.http_address import has_address
from benchbench.runtime.raised_at import raised_at


def run_checks(name: str, prompts: PromptSet | None = None) -> tuple[str, list[CheckResult]]:
    """Runs every check of the plug-in's contract; returns its kind, such as "method", and the results.

    The address of a reward server is checked as a reward. ``prompts`` are for rewards that need metadata.

    Errors: UsageError for an unknown name, and for a plug-in that does not load.
    """
    if has_address(name):
        reward = lookup.get(name)
        return "reward", _results("rewards", reward.name, reward, prompts)
    groups = [group for group in registry.GROUPS if name in registry.names(group)]
    if not groups:
        known = [known for group in registry.GROUPS for known in registry.names(group)]
        raise registry.unknown("method, reward or prompt set", name, known, "`bench list KIND` shows every name")
    return registry.SINGULAR[groups[0]], _results(groups[0], name, registry.load(groups[0], name), prompts)


def _results(group: registry.Kind, name: str, plugin: Any, prompts: PromptSet | None) -> list[CheckResult]:
    contract = importlib.import_module(f"benchbench.contract.{group}")
    options = {"prompts": prompts.prompts} if prompts and group == "rewards" else {}
    return [_run(title, test, plugin) for title, test in contract.checks(name, plugin, **options)]


def require_no_failure(kind: str, name: str, results: Sequence[CheckResult]) -> None:
    """Raises UsageError that lists every problem where a check of ``run_checks`` failed."""
    problems = [f"{result.check}: {result.reason}" for result in results if result.outcome == "failed"]
    if problems:
        raise UsageError(
            f"the {kind} {name!r} fails {len(problems)} of {len(results)} checks of its contract",
            "; ".join(problems),
            f'read "A {kind}" in CONTRIBUTING.md, repair it and run `bench check {name}` again',
        )


def _run(title: str, test: Callable[[], None], plugin: Any) -> CheckResult:
    try:
        test()
    except NotRun as reason:
        return CheckResult(title, "not run", str(reason))
    except ContractError as error:
        return CheckResult(title, "failed", f"{error}{raised_at(error, plugin)}")
    except BenchError as error:
        return CheckResult(title, "failed", f"{error.problem}: {error.cause}{raised_at(error, plugin)}")
    except (Exception, SystemExit) as error:  # whatever a plug-in raises is a failed check, not a crash of bench
        return CheckResult(title, "failed", f"{type(error).__name__}: {error}{raised_at(error, plugin)}")
    return CheckResult(title)
