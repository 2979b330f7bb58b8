"""Lists named objects without importing them: files of this repository, and entry points of other packages.

Each file of ``methods/`` and ``reward_models/`` is one method or reward; files that begin with ``_`` are shared code.
The line ``name = "..."`` of its class is its name, the first line of its docstring its summary. Both are read as text.

``importlib.metadata`` is imported inside a function, because ``bench --help`` must not load it.
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

from pydantic import BaseModel

from .declared import class_named
from .made_class import made_class

Kind = Literal["methods", "rewards", "prompts"]
GROUPS: tuple[Kind, ...] = ("methods", "rewards", "prompts")
FOLDERS = {"methods": "benchbench.methods", "rewards": "benchbench.reward_models"}
"""The packages of built-in methods and rewards. Built-in prompt sets are listed in prompts/index.yaml."""
OURS = "benchbench"
NAME_LINE = re.compile(r"""^    name(?:: ClassVar\[str\])? = (["'])(.+)\1""", re.MULTILINE)
DOCSTRING = re.compile(r"""\A(?:\s|#.*\n)*[rR]?(\"{3}|'{3}|"|')\s*(.*?)\s*(?:\1|\n|\Z)""")


@dataclass(frozen=True)
class Entry:
    """A name, the location of its object, and the installed package that it belongs to."""

    name: str
    module: str
    attribute: str
    """The object in the module; empty for a built-in, whose file has one class of this name."""
    package: str

    def __str__(self) -> str:
        return f"{self.package} ({':'.join(word for word in (self.module, self.attribute) if word)})"

    @property
    def file(self) -> str:
        """The file in this repository, such as ``methods/ddpo.py``; empty for a plug-in."""
        return f"{self.module.removeprefix(f'{OURS}.').replace('.', '/')}.py" if self.package == OURS else ""

    def load(self) -> Any:
        """Imports the module and returns the object. Raises ImportError, or any error of the module."""
        module = importlib.import_module(self.module)
        if self.attribute:
            return functools.reduce(getattr, self.attribute.split("."), module)
        classes = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and value.__module__ == self.module and vars(value).get("name") == self.name
        ]
        if len(classes) != 1:
            raise ImportError(f"it has {len(classes)} classes named {self.name!r}")
        return classes[0]

    def folder(self) -> Path | None:
        """Returns the folder of the module without importing it, or None where there is no such file."""
        try:
            source = _source(self.module)
        except (ValueError, ImportError):  # a plug-in's package may be broken
            return None
        return source.parent if source else None

    def settings(self, attribute: str) -> type[BaseModel] | None:
        """Returns the class that an attribute of this entry's class names, with no import; None where it is hidden."""
        try:
            file = _source(self.module)
        except (ValueError, ImportError):  # a plug-in's package may be broken
            return None
        class_name = self.attribute or (class_named(file, self.name) if file else None)
        return made_class(file, class_name, attribute) if file and class_name else None

    def docstring(self) -> str:
        """Returns the first line of the module's docstring, or an empty string."""
        try:
            source = _source(self.module)
            first_line = DOCSTRING.match(source.read_text(encoding="utf-8")) if source else None
        except (OSError, ValueError, ImportError):  # a plug-in's file may be unreadable, or no text
            return ""
        return first_line[2] if first_line else ""


def built_in(kind: Kind) -> list[Entry]:
    """Returns the methods or rewards of this repository, sorted by file."""
    files = declared_names(_folder(kind)) if kind in FOLDERS else {}
    return [Entry(names[0], f"{FOLDERS[kind]}.{file}", "", OURS) for file, names in files.items() if len(names) == 1]


def nameless(kind: Kind) -> list[tuple[str, str]]:
    """Returns (file, error) of each built-in file that does not declare exactly one name."""
    files = declared_names(_folder(kind)) if kind in FOLDERS else {}
    return [
        (f"{file}.py", f'it needs one line name = "..." in a class and has {len(names)}; shared code begins with _')
        for file, names in files.items()
        if len(names) != 1
    ]


def plugins(kind: Kind) -> list[Entry]:
    """Returns the entry points of other packages."""
    return _entry_points(f"{OURS}.{kind}", tuple(sys.path))


@functools.cache
def declared_names(folder: Path) -> dict[str, list[str]]:
    """Returns the names that each file of a folder declares, by file name without suffix. Cached."""
    files = sorted(folder.glob("[!_]*.py"))
    return {file.stem: [line[2] for line in NAME_LINE.finditer(file.read_text(encoding="utf-8"))] for file in files}


@functools.lru_cache(maxsize=32)
def _entry_points(group: str, _path: tuple[str, ...]) -> list[Entry]:
    """Returns the entry points of a group. ``_path`` is sys.path: the cache holds until it changes."""
    from importlib.metadata import entry_points

    entries = [
        Entry(point.name, point.module, point.attr, point.dist.name if point.dist else "?")
        for point in entry_points(group=group)
    ]
    plug_ins = [entry for entry in entries if entry.package != OURS]  # an installed earlier version lists its own
    return sorted(plug_ins, key=lambda entry: (entry.name, entry.package))


def _folder(kind: Kind) -> Path:
    """Returns the folder of the built-ins of one kind."""
    package = importlib.util.find_spec(FOLDERS[kind])
    assert package is not None and package.origin is not None  # bench checks it before it runs a command
    return Path(package.origin).parent


def _source(module: str) -> Path | None:
    """Returns the file of a module without importing it, or None. Parents of built-in packages are imported."""
    package = next((name for name in FOLDERS.values() if module.startswith(f"{name}.")), module.partition(".")[0])
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin)
    submodules = module.split(".")[len(package.split(".")) :]
    if submodules:
        path = path.parent.joinpath(*submodules)
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return path if path.is_file() else None
