"""Writes a small package with one method, reward or prompt set, which works at once and is then changed."""

from __future__ import annotations

import keyword
import re
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Literal

from benchbench import api, registry
from benchbench import prompts as prompt_sets
from benchbench.errors import UsageError
from benchbench.runtime.files import replacing_folder

Kind = Literal["method", "reward", "prompts"]
TEMPLATES = Path(__file__).parent / "templates"
GROUPS: dict[Kind, registry.Kind] = {"method": "methods", "reward": "rewards", "prompts": "prompts"}
NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")


def write(kind: Kind, name: str, folder: Path) -> list[Path]:
    """Writes the package into ``folder/name`` and returns its files.

    Errors: UsageError for a name that cannot be one or is taken, and for a folder that is there.
    """
    package = name.replace("-", "_")
    _check(kind, name, package, folder / name)
    words = "".join(word.capitalize() for word in package.split("_"))
    if words in api.__all__:  # a class must not hide what its file imports
        words += kind.capitalize()
    values = {
        "name": name,
        "package": package,
        "kind": kind,
        "group": GROUPS[kind],
        "object": "prompts" if kind == "prompts" else words,
        "title": words,
    }
    sources = {
        "pyproject.toml": TEMPLATES / "pyproject.toml.in",
        "README.md": TEMPLATES / kind / "README.md.in",
        f"{package}/{kind}.py": TEMPLATES / kind / f"{kind}.py.in",
        f"tests/test_{package}.py": TEMPLATES / kind / "check.py.in",
    }
    if kind == "method":
        sources[f"{package}/presets/{package}.yaml"] = TEMPLATES / kind / "preset.yaml.in"
    texts = {file: Template(path.read_text(encoding="utf-8")).substitute(values) for file, path in sources.items()}
    texts[f"{package}/__init__.py"] = f'"""{words}, a {kind} for benchbench."""\n'
    with replacing_folder(folder / name) as whole:  # after Ctrl-C there is no half of a package
        for file, text in texts.items():
            (whole / file).parent.mkdir(parents=True, exist_ok=True)
            (whole / file).write_text(text, encoding="utf-8")
    return [folder / name / file for file in texts]


def _check(kind: Kind, name: str, package: str, target: Path) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(package):
        cause = "a name has small letters, digits and single - or _ between them, and begins with a letter"
        raise UsageError(f"{name!r} cannot be a name", cause, "choose another, as my-method")
    known = prompt_sets.names() if kind == "prompts" else registry.names(GROUPS[kind])
    if name in known:
        raise UsageError(f"{name!r} is taken", f"bench list {GROUPS[kind]} shows it", "choose another name")
    if find_spec(package) is not None:
        cause = f"Python already finds a module {package}, which the new package would hide"
        raise UsageError(f"{name!r} is taken", cause, "choose another name")
    if target.exists():
        raise UsageError(f"{target} is there already", "nothing is overwritten", "choose another name or another --in")
