"""From a name to an object: the engine knows methods, rewards and prompt sets by name only.

Listing names imports no method, reward or plug-in, so that it is quick, and one broken plug-in harms nobody who does
not use it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from benchbench.errors import BenchError, UsageError

from .entries import GROUPS, OURS, Entry, Kind, built_in, nameless, plugins

__all__ = ["GROUPS", "ONE", "Kind", "broken", "get", "names", "require", "shadowed", "summary", "unknown"]

ONE = {"methods": "method", "rewards": "reward", "prompts": "prompt set"}
VERSIONS = {"hpsv2": ("hpsv2.0", "hpsv2.1"), "clip": ("clip_h14", "clip_l14")}
"""Names that papers use for two reward models with different scales."""


def names(kind: Kind) -> list[str]:
    """Returns the names of one kind, built-ins first."""
    return list(_entries(kind))


def get(kind: Kind, name: str) -> Any:
    """Returns the object behind a name: a Method or Reward class, or a function that makes a PromptSet.

    Errors: UsageError for a name that nothing or more than one package has, for a plug-in that does not load, and for
    a class that has another name.
    """
    entry = _find(kind, name)
    try:
        loaded = entry.load()
    except BenchError:
        raise
    except (Exception, SystemExit) as error:  # whatever a plug-in's import may raise
        raise UsageError(
            f"the {ONE[kind]} {name!r} does not load",
            f"{entry}: {type(error).__name__}: {error}",
            "repair or uninstall that plug-in; `bench doctor` lists every broken one",
        ) from error
    own_name = getattr(loaded, "name", None)
    if kind != "prompts" and own_name != name:  # scores and runs are filed under the class's own name
        raise UsageError(
            f"the {ONE[kind]} {name!r} calls itself {own_name!r}",
            f"{entry}: its entry point and the name in its class differ",
            f"set name = {name!r} in the class, or rename the entry point",
        )
    return loaded


def summary(kind: Kind, name: str) -> str:
    """Returns the first line of the docstring of the file behind a name, which is read and not imported.

    Of a name that is refused, since several packages give it, it returns who they are.
    """
    rivals = _rivals(kind, name)
    if len(rivals) > 1:
        return f"refused, there {len(rivals)} times: {' and '.join(str(entry) for entry in rivals)}"
    return rivals[0].docstring()


def require(kind: Kind, name: str) -> None:
    """Raises UsageError for a name that nothing has, or more than one package."""
    _find(kind, name)


def broken() -> list[tuple[Kind, str, str]]:
    """Returns (kind, name, error) of every method, reward and prompt set that cannot be used; imports them all."""
    problems: list[tuple[Kind, str, str]] = []
    for kind in GROUPS:
        problems += [(kind, file, error) for file, error in nameless(kind)]
        for name in names(kind):
            try:
                get(kind, name)
            except BenchError as error:
                problems.append((kind, name, error.cause))
    return problems


def shadowed() -> list[tuple[Kind, str, str]]:
    """Returns (kind, name, plug-in) of every plug-in that is never used because a built-in has its name."""
    return [
        (kind, name, str(entry))
        for kind in GROUPS
        for name, entries in _entries(kind).items()
        for entry in entries
        if entry.package != OURS and entries[0].package == OURS
    ]


def unknown(what: str, name: str, known: Iterable[str], remedy: str) -> UsageError:
    """Returns the error for a name that nothing has, with the nearest names that exist."""
    known = list(known)
    near = difflib.get_close_matches(name.lower(), known)
    near = near or [k for k in known if name.lower() in k]
    cause = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known) or 'none'}"
    return UsageError(f"there is no {what} {name!r}", cause, remedy)


def _entries(kind: Kind) -> dict[str, list[Entry]]:
    """Everything of one kind by name, built-ins first."""
    by_name: dict[str, list[Entry]] = {}
    for entry in (*built_in(kind), *plugins(kind)):
        by_name.setdefault(entry.name, []).append(entry)
    return by_name


def _rivals(kind: Kind, name: str) -> list[Entry]:
    """Everything that a name may mean; more than one thing where packages disagree. Errors: UsageError if nothing."""
    entries = _entries(kind)
    if name in entries:
        ours = [entry for entry in entries[name] if entry.package == OURS]
        return ours or entries[name]  # a plug-in cannot replace a built-in by taking its name
    if kind == "rewards" and name in VERSIONS:
        raise UsageError(
            f"the reward {name!r} has several versions with different scales",
            f"which one: {' or '.join(VERSIONS[name])}?",
            "name the version, as published tables do not always",
        )
    raise unknown(ONE[kind], name, entries, f"`bench list {kind}` shows every name")


def _find(kind: Kind, name: str) -> Entry:
    rivals = _rivals(kind, name)
    if len(rivals) > 1:
        raise UsageError(
            f"the {ONE[kind]} {name!r} is there {len(rivals)} times",
            " and ".join(str(entry) for entry in rivals),
            "uninstall or rename all but one of them",
        )
    return rivals[0]
