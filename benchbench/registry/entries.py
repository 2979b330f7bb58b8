"""What has a name, found without importing it: files of this repository, and entry points of other packages.

A file of ``methods/`` or ``reward_models/`` is one method or reward, unless it begins with ``_``: that is shared code.
The line ``name = "..."`` of its class says what it is called, and the first line of its docstring what it does. Both
are read as text.

``importlib.metadata`` is imported where plug-ins are looked for: ``bench --help`` is quick without it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchbench.errors import UsageError

Kind = Literal["methods", "rewards", "prompts"]
GROUPS: tuple[Kind, ...] = ("methods", "rewards", "prompts")
FOLDERS = {"methods": "benchbench.methods", "rewards": "benchbench.reward_models"}
"""Packages whose files are methods and rewards. The prompt sets of this repository are in prompts/index.yaml."""
OURS = "benchbench"
NAME_LINE = re.compile(r"""^    name(?:: ClassVar\[str\])? = (["'])(.+)\1""", re.MULTILINE)
DOCSTRING = re.compile(r"""\A(?:\s|#.*\n)*[rR]?(\"{3}|'{3}|"|')\s*(.*?)\s*(?:\1|\n|\Z)""")


@dataclass(frozen=True)
class Entry:
    """A name, where its object is, and the installed package that it belongs to."""

    name: str
    module: str
    attribute: str
    """The object in the module; empty for a file of ours, which has one class of this name."""
    package: str

    def __str__(self) -> str:
        return f"{self.package} ({':'.join(word for word in (self.module, self.attribute) if word)})"

    def load(self) -> Any:
        """Imports the module and returns the object. Errors: whatever the module raises, ImportError."""
        module = importlib.import_module(self.module)
        if self.attribute:
            return functools.reduce(getattr, self.attribute.split("."), module)
        classes = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and value.__module__ == self.module and vars(value).get("name") == self.name
        ]
        if len(classes) != 1:
            raise ImportError(f"it has {len(classes)} classes of the name {self.name!r}")
        return classes[0]

    def docstring(self) -> str:
        """Returns the first line of the module's docstring, or an empty text."""
        source = _source(self.module)
        first_line = DOCSTRING.match(source.read_text(encoding="utf-8")) if source else None
        return first_line[2] if first_line else ""


def built_in(kind: Kind) -> list[Entry]:
    """Returns the methods or rewards of this repository in the order of their files."""
    files = declared_names(_folder(kind)) if kind in FOLDERS else {}
    return [Entry(found[0], f"{FOLDERS[kind]}.{file}", "", OURS) for file, found in files.items() if len(found) == 1]


def nameless(kind: Kind) -> list[tuple[str, str]]:
    """Returns (file, error) of every file of ours that does not say what it is called."""
    files = declared_names(_folder(kind)) if kind in FOLDERS else {}
    return [
        (f"{file}.py", f'it needs one line name = "..." in a class and has {len(found)}; shared code begins with _')
        for file, found in files.items()
        if len(found) != 1
    ]


def plugins(kind: Kind) -> list[Entry]:
    """Returns the entry points of other packages."""
    return _entry_points(f"{OURS}.{kind}", tuple(sys.path))


@functools.cache
def declared_names(folder: Path) -> dict[str, list[str]]:
    """Returns the names that each file of a folder declares, by file without its suffix. A folder is read once."""
    files = sorted(folder.glob("[!_]*.py"))
    return {file.stem: [line[2] for line in NAME_LINE.finditer(file.read_text(encoding="utf-8"))] for file in files}


@functools.lru_cache(maxsize=32)
def _entry_points(group: str, _path: tuple[str, ...]) -> list[Entry]:
    """``_path`` is sys.path, so that the same folders are searched once."""
    from importlib.metadata import entry_points

    entries = [
        Entry(point.name, point.module, point.attr, point.dist.name if point.dist else "?")
        for point in entry_points(group=group)
    ]
    others = [entry for entry in entries if entry.package != OURS]  # an earlier version, installed, lists its own
    return sorted(others, key=lambda entry: (entry.name, entry.package))


def _folder(kind: Kind) -> Path:
    package = importlib.util.find_spec(FOLDERS[kind])
    if package is None or package.origin is None:
        raise UsageError(
            f"{FOLDERS[kind]} is not found",
            "this copy of the repository has no symbolic links, as one from a zip file, and is not installed",
            "run pip install -e . in its folder, and bench instead of python -m benchbench",
        )
    return Path(package.origin).parent


def _source(module: str) -> Path | None:
    """The file of a module, found without importing the module; only a top package of ours is imported."""
    package = next((ours for ours in FOLDERS.values() if module.startswith(f"{ours}.")), module.partition(".")[0])
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin)
    inside = module.split(".")[len(package.split(".")) :]
    if inside:
        path = path.parent.joinpath(*inside)
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return path if path.is_file() else None
