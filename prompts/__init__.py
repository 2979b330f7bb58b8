"""Prompt sets by name or file: ``load("animals")``, ``load("my-prompts.txt")``.

A named set is in index.yaml (shipped beside it, or fetched once) or comes from a plug-in. A file is .txt (one prompt
a line), .jsonl or .csv (field ``prompt`` or ``caption``).
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from benchbench import registry
from benchbench.api import PromptSet
from benchbench.errors import CorruptError, MissingError, UsageError
from benchbench.runtime.files import cache_folder
from benchbench.runtime.yaml_files import read_yaml

from .files import SUFFIXES, read

__all__ = ["Entry", "Fetch", "find", "index", "load", "missing", "names"]

HERE = Path(__file__).parent


class Fetch(BaseModel):
    """Where a set that is not shipped comes from: data sets on the hub, tried in order, and files in them."""

    model_config = ConfigDict(extra="forbid")

    repos: list[str] = []
    files: list[str] = []
    """Patterns; the files that match hold this set's prompts and no others."""
    url: str = ""
    """For what is not on the hub: one file, at a commit."""
    column: str = ""
    """The column with the prompt; empty for a JSON list of strings."""
    revision: str = "main"
    sha256: str = ""
    """The first digits of the file's hash, where it is known."""


class Entry(BaseModel):
    """What index.yaml says of one set."""

    model_config = ConfigDict(extra="forbid")

    count: int
    origin: str
    licence: str
    aliases: list[str] = []
    sha256: str = ""
    file: str = ""
    fetch: Fetch | None = None


def load(name_or_path: str) -> PromptSet:
    """The set of this name, or the prompts of this file.

    Errors: UsageError (unknown or bad), MissingError (not fetched yet), CorruptError (other prompts than recorded).
    """
    name = find(name_or_path)
    if name is not None and name in index():
        return _indexed(name, index()[name])
    if name is not None:
        return _plugin(name)
    path = Path(name_or_path).expanduser()
    if path.exists() or path.suffix in SUFFIXES or os.sep in name_or_path:
        return PromptSet(path.stem, read(path), origin=f"file {path.name}", licence="unknown")
    raise registry.unknown("prompt set", name_or_path, names(), "`bench list prompts` shows every name")


def names() -> list[str]:
    """Every named set: those of index.yaml, then those of plug-ins."""
    return [*index(), *(name for name in registry.names("prompts") if name not in index())]


def find(name: str) -> str | None:
    """The full name behind a name or alias, None for what is neither."""
    for full, entry in index().items():
        if name in entry.aliases:
            return full
    return name if name in names() else None


def missing(name: str) -> str | None:
    """What is not on this machine, with the command that gets it, or None."""
    entry = index().get(name)
    if entry is None or entry.file or _fetched(name).is_file():
        return None
    return f"not fetched: bench fetch --prompts {name}"


@functools.cache
def index() -> dict[str, Entry]:
    """index.yaml, checked."""
    raw = read_yaml((HERE / "index.yaml").read_text(encoding="utf-8"))
    return {name: Entry.model_validate(entry) for name, entry in raw.items()}


def _fetched(name: str) -> Path:
    return cache_folder() / "prompts" / f"{name}.jsonl"


def _plugin(name: str) -> PromptSet:
    made = registry.get("prompts", name)()
    if not isinstance(made, PromptSet) or made.name != name:  # images and scores are filed under the set's own name
        wrong = f"it is named {made.name!r}" if isinstance(made, PromptSet) else f"it is a {type(made).__name__}"
        raise UsageError(
            f"the plug-in of the prompt set {name!r} returns something else",
            wrong,
            f"return a PromptSet named {name!r}; bench check {name} tries out the rest",
        )
    return made


def _indexed(name: str, entry: Entry) -> PromptSet:
    path = HERE / entry.file if entry.file else _fetched(name)
    if not entry.file and not path.is_file():
        raise MissingError(
            f"the prompt set {name!r} is not on this machine",
            "its prompts are not ours to ship, so they are fetched once",
            f"bench fetch --prompts {[*entry.aliases, name][0]}",
        )
    found = PromptSet(name, read(path), entry.origin, entry.licence)
    if len(found) != entry.count or entry.sha256 not in ("", found.hash):
        expected = f"{entry.count} with {entry.sha256[:12] or 'any'}…"
        raise CorruptError(
            f"{path} does not hold the prompts of {name!r}",
            f"it has {len(found)} prompts with sha256 {found.hash[:12]}…, expected {expected}",
            "install the package again" if entry.file else f"delete the file and run: bench fetch --prompts {name}",
        )
    return found
