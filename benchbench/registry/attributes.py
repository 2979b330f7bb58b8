"""Checks a class before it is used: its base class, and the type of each class attribute."""

from __future__ import annotations

import math
from typing import Any

from .entries import Kind

NEEDED: dict[Kind, tuple[str, ...]] = {
    "methods": ("name", "paper", "Config"),
    "rewards": ("name", "version", "unit", "range", "differentiable", "weights"),
    "prompts": (),
}
"""The class attributes that have no default in benchbench.api."""
BASES: dict[Kind, tuple[str, str]] = {
    "methods": ("Method", "benchbench.api"),
    "rewards": ("Reward", "benchbench.types"),
}
"""The base class of each kind, by its name and module: listing names imports neither."""
TEXTS = ("name", "paper", "version", "unit", "weights")
FLAGS = ("differentiable", "trainable")


def wrong_kind(kind: Kind, loaded: Any) -> str | None:
    """Returns why an object is no method, reward or function of prompts, or None."""
    if kind == "prompts":
        return (
            None if callable(loaded) else f"it is a {type(loaded).__name__}, and no function that returns a PromptSet"
        )
    return None if _has_base(loaded, BASES[kind]) else f"it is no subclass of benchbench.api.{BASES[kind][0]}"


def missing_attributes(kind: Kind, loaded: Any) -> list[str]:
    """Returns the needed class attributes that neither a class nor a base class of it sets."""
    return [attribute for attribute in NEEDED[kind] if not hasattr(loaded, attribute)]


def wrong_attributes(kind: Kind, loaded: Any) -> list[str]:
    """Returns a message for each class attribute of a wrong type: scores are filed under the name and the version."""
    if kind == "prompts":
        return []
    values = {name: getattr(loaded, name, None) for name in (*TEXTS, *FLAGS)}
    texts = [n for n in TEXTS if n in NEEDED[kind] and not (isinstance(values[n], str) and str(values[n]).strip())]
    wrong = [f"{name} is {values[name]!r} and no text" for name in texts]
    if kind == "rewards":
        flags = [name for name in FLAGS if not isinstance(values[name], bool)]
        wrong += [f"{name} is {values[name]!r}, neither True nor False" for name in flags]
        if not _is_range(loaded.range):
            wrong.append(f"range is {loaded.range!r} and no pair (low, high) of numbers")
        if not (isinstance(loaded.needs, tuple) and all(isinstance(field, str) and field for field in loaded.needs)):
            wrong.append(f"needs is {loaded.needs!r:.80} and no tuple of names of fields")
        return wrong
    if not _has_base(loaded.Config, ("MethodConfig", "benchbench.api")):
        wrong.append(f"Config is {loaded.Config!r:.80} and no subclass of benchbench.api.MethodConfig")
    if loaded.data not in ("online", "offline"):
        wrong.append(f"data is {loaded.data!r}, neither 'online' nor 'offline'")
    return wrong


def _has_base(value: Any, base: tuple[str, str]) -> bool:
    return isinstance(value, type) and base in [(parent.__name__, parent.__module__) for parent in value.__mro__]


def _is_range(value: Any) -> bool:
    if not (isinstance(value, tuple | list) and len(value) == 2):
        return False
    numbers = all(isinstance(end, int | float) and math.isfinite(end) for end in value)
    return numbers and bool(value[0] < value[1])
