"""Makes the class of a method's settings from its source, without importing the module: that loads torch.

Of a file only those statements are executed that the class depends on, in their order: types, functions, base classes,
and imports of the names that they use; of files of methods that are imported, the same. The names in a class tell what
it depends on, those of its annotations too, so that these are evaluated at once.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from .declared import class_of, source_of

HEAVY = "benchbench.methods"
"""The package whose modules load torch; all others of benchbench that settings are made of do not."""


def made_class(file: Path, class_name: str, attribute: str) -> type[BaseModel] | None:
    """Returns the class of settings that ``attribute`` of another class in a file names.

    Returns None where it cannot be made by itself; importing the module then tells why, or succeeds.
    """
    try:
        found = class_of(file, class_name, attribute)
        made = _values(found.file, {found.node.name})[found.node.name] if found else None
    except (Exception, SystemExit):  # a plug-in's code may raise anything
        return None
    return made if isinstance(made, type) and issubclass(made, BaseModel) else None


def _values(file: Path, wanted: Iterable[str]) -> dict[str, Any]:
    """Returns the values of names at the top of a file, and of all that they depend on."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    names = _needed(body, wanted)
    values: dict[str, Any] = {"__name__": file.stem}
    for node in body:
        if not names & _bound(node):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [alias for alias in node.names if names & _bound_by(alias)]
        beside = source_of(file, node) if isinstance(node, ast.ImportFrom) and _is_heavy(node) else None
        if beside and isinstance(node, ast.ImportFrom):
            theirs = _values(beside, {alias.name for alias in node.names})
            values |= {alias.asname or alias.name: theirs[alias.name] for alias in node.names}
        else:
            exec(compile(ast.Module([node], []), str(file), "exec", dont_inherit=True), values)
    return values


def _is_heavy(node: ast.ImportFrom) -> bool:
    """Returns True for an import from a file beside this one or from the methods of benchbench."""
    return bool(node.level) or (node.module or "").startswith(HEAVY)


def _needed(body: Iterable[ast.stmt], wanted: Iterable[str]) -> set[str]:
    """Returns the names at the top of a file that the statements of the wanted ones use, and so on, and these."""
    statements = [(_bound(node), node) for node in body]
    needed: set[str] = set()
    todo = list(wanted)
    while todo:
        name = todo.pop()
        for bound, node in statements:
            if name in bound and name not in needed and not isinstance(node, ast.Import | ast.ImportFrom):
                todo += [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
        needed.add(name)
    return needed


def _bound(node: ast.stmt) -> set[str]:
    """Returns the names that a statement at the top of a file gives a value."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return set().union(*map(_bound_by, node.names))
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _bound_by(alias: ast.alias) -> set[str]:
    return {alias.asname or alias.name.partition(".")[0]}
