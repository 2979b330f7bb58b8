"""From a name to an object, through entry points: the engine knows methods, rewards and prompt sets by name only.

Nothing is imported until it is asked for by ``get``, so that listing names is quick and one broken plug-in harms
nobody who does not use it; ``broken`` tells ``bench doctor`` about it.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import tomllib
from collections.abc import Iterable
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from pathlib import Path
from typing import Any, Literal

from benchbench.errors import BenchError, UsageError

Kind = Literal["methods", "rewards", "prompts"]
GROUPS: tuple[Kind, ...] = ("methods", "rewards", "prompts")
ONE = {"methods": "method", "rewards": "reward", "prompts": "prompt set"}
VERSIONS = {"hpsv2": ("hpsv2.0", "hpsv2.1"), "clip": ("clip_h14", "clip_l14")}
"""Names that papers use for two reward models with different scales."""


def names(kind: Kind) -> list[str]:
    """The names of one kind, built-ins first, without importing any plug-in."""
    return list(_entries(kind))


def get(kind: Kind, name: str) -> Any:
    """The object behind a name: a Method or Reward class, or a function that makes a PromptSet."""
    entry = _find(kind, name)
    try:
        return entry.load()
    except BenchError:
        raise
    except Exception as error:  # whatever a plug-in's import may raise
        raise UsageError(
            f"the {ONE[kind]} {name!r} does not load",
            f"{entry.value}: {type(error).__name__}: {error}",
            "repair or uninstall that plug-in; `bench doctor` lists every broken one",
        ) from error


def summary(kind: Kind, name: str) -> str:
    """The first line of the docstring of the plug-in's class or function, else of its module, read, not imported."""
    entry = _find(kind, name)
    source = _source(entry.module)
    if source is None:
        return ""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    definitions = (ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in tree.body if isinstance(node, definitions) and node.name == entry.attr]
    docs = [ast.get_docstring(node) for node in (*nodes, tree)]
    return next((doc.splitlines()[0] for doc in docs if doc), "")


def broken() -> list[tuple[Kind, str, str]]:
    """Every plug-in that does not load, with its error; imports them all."""
    found: list[tuple[Kind, str, str]] = []
    for kind in GROUPS:
        for name in names(kind):
            try:
                get(kind, name)
            except BenchError as error:
                found.append((kind, name, error.cause))
    return found


def require(kind: Kind, name: str) -> None:
    """Raises UsageError for a name that nothing has."""
    _find(kind, name)


def unknown(what: str, name: str, known: Iterable[str], remedy: str) -> UsageError:
    """The error for a name that nothing has, with the nearest names that exist."""
    known = list(known)
    near = difflib.get_close_matches(name.lower(), known)
    near = near or [k for k in known if name.lower() in k]
    cause = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known) or 'none'}"
    return UsageError(f"there is no {what} {name!r}", cause, remedy)


def _entries(kind: Kind) -> dict[str, EntryPoint]:
    """Built-ins come first, and no plug-in can replace one by taking its name."""
    group = f"benchbench.{kind}"
    found = [*entry_points(group=group), *_not_installed(group)]
    chosen: dict[str, EntryPoint] = {}
    for entry in sorted(found, key=lambda entry: not entry.value.startswith("benchbench.")):
        chosen.setdefault(entry.name, entry)
    return chosen


def _not_installed(group: str) -> list[EntryPoint]:
    """The built-ins of a source tree that nobody installed, from the pyproject.toml beside the package."""
    try:
        distribution("benchbench")
    except PackageNotFoundError:
        pyproject = Path(__file__).resolve().parents[1] / "pyproject.toml"
        declared = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["entry-points"]
        return [EntryPoint(name, value, group) for name, value in declared.get(group, {}).items()]
    return []


def _find(kind: Kind, name: str) -> EntryPoint:
    entries = _entries(kind)
    if name in entries:
        return entries[name]
    if kind == "rewards" and name in VERSIONS:
        raise UsageError(
            f"the reward {name!r} has several versions with different scales",
            f"which one: {' or '.join(VERSIONS[name])}?",
            "name the version, as published tables do not always",
        )
    raise unknown(ONE[kind], name, entries, f"`bench list {kind}` shows every name")


def _source(module: str) -> Path | None:
    """The file of a module, found without importing its package: only the top-level name is looked up."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin)
    if rest:
        path = path.parent.joinpath(*rest)
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return path if path.is_file() else None
