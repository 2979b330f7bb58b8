"""Reads from source text which settings a class declares: importing a method or a protocol loads torch, which is slow.

    class TailorPOConfig(MethodConfig):
        beta: float = Field(0.1, description="...")

    class TailorPO(Method[TailorPOConfig]):
        Config = TailorPOConfig

A class that is not written in this way, as one that is made by a function, has no declared settings; it is imported.
"""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

Settings = dict[str, str]
"""Descriptions by name of a setting."""
ROOT = "BaseModel"
"""The class of pydantic from which all settings come."""


class _Class(NamedTuple):
    """A class and the file that defines it."""

    file: Path
    node: ast.ClassDef


def declared_settings(file: Path, class_name: str, attribute: str) -> Settings | None:
    """Returns the settings of the class that ``attribute`` of another class in a file names, inherited ones first.

    Returns None where the source does not tell them.
    """
    try:
        settings = class_of(file, class_name, attribute)
        return _settings(settings) if settings else None
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def class_of(file: Path, class_name: str, attribute: str) -> _Class | None:
    """Returns the class that ``attribute`` of another class in a file names, and its file; None where it is not found.

    Raises OSError, SyntaxError or ValueError for a file that cannot be read.
    """
    found = _find(file, class_name)
    return found and _attribute(found, attribute)


def class_named(file: Path, name: str) -> str | None:
    """Returns the class of a file with the line ``name = "..."``, or None."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return next((c.name for c in classes if any(_value(item) == ("name", name) for item in c.body)), None)


def _value(item: ast.stmt) -> tuple[str, object]:
    """Returns the name and the constant of a line ``name = "..."``."""
    if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name) and isinstance(item.value, ast.Constant):
        return item.targets[0].id, item.value.value
    return "", None


def _find(file: Path, name: str) -> _Class | None:
    """Returns the class that a name means at the top of a file, also where it is imported."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _Class(file, node)
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                source = source_of(file, node) if (alias.asname or alias.name) == name else None
                if source:
                    return _find(source, alias.name)
    return None


def source_of(file: Path, node: ast.ImportFrom) -> Path | None:
    """Returns the file of the module of a line ``from ... import``. No module but packages' parents is imported."""
    words = (node.module or "").split(".")
    if node.level:
        folder = file.parents[node.level - 1]
    else:
        spec = find_spec(words[0])
        if spec is None or spec.origin is None:
            return None
        folder, words = Path(spec.origin).parent, words[1:]
    path = folder.joinpath(*words)
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if words and p.is_file()), None)


def _bases(found: _Class) -> list[str]:
    """Returns the names of a class's base classes, of ``Method[Config]`` that of ``Method``."""
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in found.node.bases]
    return [base.id for base in bases if isinstance(base, ast.Name)]


def _attribute(found: _Class, attribute: str) -> _Class | None:
    """Returns the class that an attribute of a class, or of its base classes, names."""
    for item in found.node.body:
        if isinstance(item, ast.ClassDef) and item.name == attribute:
            return _Class(found.file, item)
        if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name) and item.targets[0].id == attribute:
            return _find(found.file, item.value.id) if isinstance(item.value, ast.Name) else None
    for base in _bases(found):
        parent = _find(found.file, base)
        inherited = parent and _attribute(parent, attribute)
        if inherited:
            return inherited
    return None


def _settings(found: _Class) -> Settings | None:
    """Returns the settings of a class; None where it takes others, too, or one of its base classes cannot be read."""
    settings: Settings = {}
    if len(_bases(found)) < len(found.node.bases) or any(map(_opens, ast.walk(found.node))):
        return None
    for base in _bases(found):
        if base == ROOT:
            continue
        parent = _find(found.file, base)
        inherited = _settings(parent) if parent else None
        if inherited is None:
            return None
        settings |= inherited
    for item in found.node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and not _is_private(item):
            settings[item.target.id] = _description(item.value)
    return settings


def _opens(node: ast.AST) -> bool:
    """Returns True for ``alias="..."`` and ``extra="allow"``, by which a setting has another name than its field."""
    if not isinstance(node, ast.keyword) or node.arg is None:
        return False
    forbids = isinstance(node.value, ast.Constant) and node.value.value == "forbid"
    return node.arg.endswith("alias") or (node.arg == "extra" and not forbids)


def _is_private(item: ast.AnnAssign) -> bool:
    """Returns True for a line that declares no setting: a name with ``_`` before it, or a ClassVar."""
    return ast.unparse(item.target).startswith("_") or "ClassVar" in ast.unparse(item.annotation)


def _description(value: ast.expr | None) -> str:
    keywords = value.keywords if isinstance(value, ast.Call) else []
    texts = (word.value for word in keywords if word.arg == "description")
    return next((str(text.value) for text in texts if isinstance(text, ast.Constant)), "")
