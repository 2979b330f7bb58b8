"""The Python reference, from the names that ``benchbench`` and ``benchbench.api`` export and from their docstrings."""

from __future__ import annotations

import enum
import functools
import importlib
import inspect
import re
from collections.abc import Mapping
from typing import Any

from docs_build import text


def exported(module: str) -> list[str]:
    """Returns the names that a module exports, without its version."""
    return [name for name in importlib.import_module(module).__all__ if not name.startswith("__")]


def page(module: str, title: str, start: str) -> str:
    """Returns a section for each name that a module exports."""
    home = importlib.import_module(module)
    parts = [f"# {title}", start]
    things = {name: getattr(home, name) for name in exported(module)}
    for name, thing in sorted(things.items(), key=lambda item: _place(item[1])):
        parts += [f"## `{name}`", *_thing(name, thing, set(things))]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _place(thing: Any) -> int:
    """Returns where a name stands on its page: functions first, errors last."""
    if inspect.isroutine(thing):
        return 0
    return 2 if inspect.isclass(thing) and issubclass(thing, Exception) else 1


def undocumented(module: str) -> list[str]:
    """Returns the classes and functions among a module's names that have no docstring of their own."""
    home = importlib.import_module(module)
    things = {name: getattr(home, name) for name in exported(module)}
    described = (inspect.isclass, inspect.isroutine)
    return [name for name, thing in things.items() if any(kind(thing) for kind in described) and not thing.__doc__]


def _thing(name: str, thing: Any, listed: set[str]) -> list[str]:
    """Returns what is said of one name of a page that lists others, too."""
    if inspect.isclass(thing):
        bases = [base for base in thing.__mro__[1:] if base.__module__.startswith("benchbench")]
        members = {k: v for base in reversed(bases) if base.__name__ not in listed for k, v in vars(base).items()}
        return [_signature(name, thing), text.docstring(thing), *_members(name, members | dict(vars(thing)))]
    if inspect.isroutine(thing):
        return [_signature(name, thing), text.docstring(thing)]
    return [f"```python\n{name} = {thing!r}\n```".replace("typing.", "")]


def _signature(name: str, thing: Any) -> str:
    """Returns the call of a class or function as code; of a class without a constructor of its own, nothing."""
    is_class = inspect.isclass(thing)
    if is_class and (thing.__init__ is object.__init__ or issubclass(thing, enum.Enum)):
        return ""
    try:
        signature = inspect.signature(thing)
    except ValueError:
        return ""
    parameters = _parameters(signature)
    returns = "" if is_class or signature.return_annotation is signature.empty else f" -> {_type(signature)}"
    shown = f"({', '.join(parameters)}){returns}"
    if len(name + shown) > 100:
        shown = "(\n" + "".join(f"    {parameter},\n" for parameter in parameters) + f"){returns}"
    return f"```python\n{name}{shown}\n```"


def _parameters(signature: inspect.Signature) -> list[str]:
    """Returns the parameters as code, with a star before those that are named in a call; ``self`` is left out."""
    parts: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else stars
        if parameter.kind is parameter.KEYWORD_ONLY and not any(part.startswith("*") for part in parts):
            parts.append("*")
        annotated = "" if parameter.annotation is parameter.empty else f": {_type(parameter)}"
        default = parameter.default
        value = "..." if re.match(r"<", repr(default)) else repr(default)
        parts.append(f"{stars}{parameter.name}{annotated}" + ("" if default is parameter.empty else f" = {value}"))
    return parts


def _type(of: inspect.Signature | inspect.Parameter) -> str:
    """Returns an annotation as it stands in the code, without the names of modules."""
    annotation = of.return_annotation if isinstance(of, inspect.Signature) else of.annotation
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", text).replace("'", "")


def _members(name: str, members: Mapping[str, Any]) -> list[str]:
    """Returns the public methods and properties among the members of a class that say what they do."""
    parts = []
    for member, value in members.items():
        value = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if member.startswith("_") or not getattr(value, "__doc__", None):
            continue
        if isinstance(value, property | functools.cached_property):
            parts += [f"### `{name}.{member}`", text.docstring(value)]
        elif inspect.isfunction(value):
            parts += [f"### `{name}.{member}`", _signature(member, value), text.docstring(value)]
    return parts
