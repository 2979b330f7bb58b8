"""The contract of a plug-in, tried out: what ``bench check NAME`` runs over a method, a reward or a prompt set.

The same checks hold for built-ins and for anybody's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from benchbench import registry
from benchbench.contract.base import Broken, Finding
from benchbench.errors import BenchError, UsageError


def check(name: str) -> tuple[str, list[Finding]]:
    """The kind of the plug-in with this name, and a finding for each check of its contract.

    Errors: UsageError for a name that nothing has, or that does not load.
    """
    kinds = [kind for kind in registry.GROUPS if name in registry.names(kind)]
    if not kinds:
        known = [known for kind in registry.GROUPS for known in registry.names(kind)]
        raise registry.unknown("method, reward or prompt set", name, known, "`bench list KIND` shows every name")
    found = registry.get(kinds[0], name)
    contract = importlib.import_module(f"benchbench.contract.{kinds[0]}")
    return registry.ONE[kinds[0]], [_run(what, run) for what, run in contract.checks(name, found)]


def _run(what: str, run: Callable[[], None]) -> Finding:
    try:
        run()
    except Broken as broken:
        return Finding(what, str(broken))
    except BenchError as error:
        return Finding(what, f"{error.problem}: {error.cause}")
    except Exception as error:  # whatever a plug-in raises is a finding about it
        return Finding(what, f"{type(error).__name__}: {error}")
    return Finding(what)


def report(name: str) -> tuple[str, list[Finding]]:
    """``check``, or UsageError listing every problem."""
    kind, findings = check(name)
    wrong = [f"{finding.what}: {finding.problem}" for finding in findings if finding.problem]
    if wrong:
        raise UsageError(
            f"the {kind} {name!r} breaks its contract in {len(wrong)} of {len(findings)} checks",
            "; ".join(wrong),
            "see CONTRIBUTING.md, mend it and run `bench check` again",
        )
    return kind, findings
