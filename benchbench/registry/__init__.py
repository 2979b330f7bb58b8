"""Finds methods, rewards and prompt sets by name, among built-ins and plug-ins.

Listing names imports no method, reward or plug-in, so that it is fast and a broken plug-in affects only its users.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from benchbench.errors import BenchError, UsageError

from .attributes import missing_attributes, wrong_attributes, wrong_kind
from .entries import GROUPS, OURS, Entry, Kind, built_in, nameless, plugins
from .own_weights import own_weights

__all__ = [
    "GROUPS",
    "SINGULAR",
    "Kind",
    "broken",
    "get",
    "load",
    "missing_attributes",
    "names",
    "plugin_folder",
    "require",
    "settings_class",
    "shadowed",
    "summary",
    "unknown",
]

SINGULAR = {"methods": "method", "rewards": "reward", "prompts": "prompt set"}
VERSIONS = {"hpsv2": ("hpsv2.0", "hpsv2.1"), "clip": ("clip_h14", "clip_l14")}
"""Names that papers use for several reward models with different scales."""


def names(kind: Kind) -> list[str]:
    """Returns the names of one kind: built-ins, plug-ins, and rewards with weights of the user's own."""
    return list(_entries(kind))


def get(kind: Kind, name: str) -> Any:
    """Returns the object of a name: a Method or Reward class, or a function that returns a PromptSet.

    Raises UsageError for an unknown name, a name that several packages have, a plug-in that does not load, and a class
    with another name or without an attribute that its kind needs.
    """
    loaded, entry = load(kind, name), _find(kind, name)
    problem = wrong_kind(kind, loaded)
    if problem:
        raise UsageError(
            f"the {SINGULAR[kind]} {name!r} cannot be used",
            f"{entry}: {problem}",
            f"repair {entry.file or 'the plug-in'}; `bench check {name}` checks the rest",
        )
    absent = missing_attributes(kind, loaded)
    if absent:
        raise UsageError(
            f"the {SINGULAR[kind]} {name!r} lacks {', '.join(absent)}",
            f"{entry}: {'these class attributes are' if len(absent) > 1 else 'this class attribute is'} not set",
            f"set {' and '.join(absent)} in the class; `bench check {name}` checks the rest",
        )
    wrong = wrong_attributes(kind, loaded)
    if wrong:
        raise UsageError(
            f"the {SINGULAR[kind]} {name!r} has wrong class attributes",
            f"{entry}: {'; '.join(wrong)}",
            f"correct them in the class; `bench check {name}` checks the rest",
        )
    if kind != "prompts" and loaded.name != name:  # scores and runs are filed under the class's own name
        raise UsageError(
            f"the {SINGULAR[kind]} {name!r} calls itself {loaded.name!r}",
            f"{entry}: its entry point and the name in its class differ",
            f"set name = {name!r} in the class, or rename the entry point",
        )
    return loaded


def load(kind: Kind, name: str) -> Any:
    """Returns the object of a name like ``get``, but does not look at its attributes; ``bench check`` does that."""
    entry = _find(kind, name)
    try:
        return entry.load()
    except BenchError:
        raise
    except (Exception, SystemExit) as error:  # a plug-in's import may raise anything
        raise UsageError(
            f"the {SINGULAR[kind]} {name!r} does not load",
            f"{entry}: {type(error).__name__}: {error}",
            f"repair {entry.file or 'or uninstall the plug-in'}; `bench doctor` lists every broken one",
        ) from error


def summary(kind: Kind, name: str) -> str:
    """Returns the first line of the docstring of a name's file, without importing it.

    For a name that several packages have, it returns a message with those packages.
    """
    candidates = _candidates(kind, name)
    if len(candidates) > 1:
        packages = " and ".join(str(entry) for entry in candidates)
        return f"refused, since {len(candidates)} packages have this name: {packages}"
    return candidates[0].docstring()


def plugin_folder(kind: Kind, name: str) -> Path | None:
    """Returns the folder of the module of a plug-in; None for a built-in, an unknown name and one of two packages."""
    entries = _entries(kind).get(name, [])
    return entries[0].folder() if len(entries) == 1 and entries[0].package != OURS else None


def require(kind: Kind, name: str) -> None:
    """Raises UsageError for an unknown name, or a name that several packages have."""
    _find(kind, name)


def settings_class(method: str) -> type[BaseModel] | None:
    """Returns the class of a method's settings, made without importing the method; None where that cannot be done.

    Raises UsageError for an unknown name, or a name that several packages have.
    """
    return _find("methods", method).settings("Config")


def broken() -> list[tuple[Kind, str, str]]:
    """Returns (kind, name, error) of each method, reward and prompt set that cannot be used. Imports all of them."""
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
    """Returns (kind, name, plug-in) of each plug-in that is never used because a built-in has its name."""
    return [
        (kind, name, str(entry))
        for kind in GROUPS
        for name, entries in _entries(kind).items()
        for entry in entries
        if entry.package != OURS and entries[0].package == OURS
    ]


def unknown(title: str, name: str, known: Iterable[str], remedy: str) -> UsageError:
    """Returns the error for an unknown name, with similar names that exist. ``title`` says what was named."""
    known = list(known)
    near = difflib.get_close_matches(name.lower(), known)
    near = near or [k for k in known if name.lower() in k]
    cause = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known) or 'none'}"
    return UsageError(f"there is no {title} {name!r}", cause, remedy)


def _entries(kind: Kind) -> dict[str, list[Entry]]:
    """Returns the entries of one kind by name: built-ins, plug-ins, and rewards with weights of the user's own."""
    by_name: dict[str, list[Entry]] = {}
    for entry in (*built_in(kind), *plugins(kind), *(own_weights() if kind == "rewards" else ())):
        by_name.setdefault(entry.name, []).append(entry)
    return by_name


def _candidates(kind: Kind, name: str) -> list[Entry]:
    """Returns the entries of a name, several where several packages have it. Raises UsageError for an unknown name."""
    entries = _entries(kind)
    if name in entries:
        built_ins = [entry for entry in entries[name] if entry.package == OURS]
        return built_ins or entries[name]  # a plug-in cannot replace a built-in by taking its name
    if kind == "rewards" and name in VERSIONS:
        raise UsageError(
            f"the reward {name!r} has several versions with different scales",
            f"which one: {' or '.join(VERSIONS[name])}?",
            "name the version; published tables do not always name it",
        )
    raise unknown(SINGULAR[kind], name, entries, f"`bench list {kind}` shows every name")


def _find(kind: Kind, name: str) -> Entry:
    """Returns the only entry of a name. Raises UsageError."""
    candidates = _candidates(kind, name)
    if len(candidates) > 1:
        raise UsageError(
            f"{len(candidates)} packages have the {SINGULAR[kind]} {name!r}",
            " and ".join(str(entry) for entry in candidates),
            "uninstall or rename all but one of them",
        )
    return candidates[0]
