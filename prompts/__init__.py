"""Loads prompt sets by name or from a file: ``load("animals")``, ``load("my-prompts.txt")``.

A named set is listed in index.yaml (shipped, or fetched once) or comes from a plug-in. A file is .txt (one prompt a
line), .jsonl or .csv (field ``prompt`` or ``caption``; a field ``image`` or ``file_name`` may name the image of each).
``load("my-edits", edits=True)`` reads these images too, as the pictures that the prompts say how to edit.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from benchbench import registry
from benchbench.api import PromptSet, metadata
from benchbench.errors import BenchError, CorruptError, MissingError, UsageError
from benchbench.runtime.files import cache_folder
from benchbench.runtime.raised_at import described
from benchbench.runtime.yaml_files import read_yaml

from .files import SUFFIXES, is_json, read, read_by_image
from .sources import drawn, read_edits

__all__ = ["Entry", "Fetch", "by_image", "find", "index", "load", "missing", "names"]

FOLDER = Path(__file__).parent


class Fetch(BaseModel):
    """The source of a set that is not shipped: data sets on the hub, tried in order, and files in them."""

    model_config = ConfigDict(extra="forbid")

    repos: list[str] = []
    files: list[str] = []
    """Patterns of the files that hold this set's prompts and no others."""
    url: str = ""
    """The address of one file at a commit, for a set that is not on the hub."""
    column: str = ""
    """The column of the prompts; empty for a JSON list of strings."""
    image: str = ""
    """The column of the pictures that the prompts say how to edit, where there is one."""
    revision: str = "main"
    sha256: str = ""
    """The first digits of the file's hash, where it is known."""


class Entry(BaseModel):
    """The entry of one set in index.yaml."""

    model_config = ConfigDict(extra="forbid")

    count: int
    origin: str
    licence: str
    aliases: list[str] = []
    sha256: str = ""
    file: str = ""
    rows: tuple[int, int] | None = None
    """The first of the file's prompts that are in the set, counted from 0, and the first after them. None: all."""
    scenes: bool = False
    """True where the field ``scene`` of each prompt describes a drawing, which the prompt says how to edit."""
    fetch: Fetch | None = None


def load(name_or_path: str, edits: bool = False) -> PromptSet:
    """Returns the prompt set of a name, a file or a folder of edits.

    Named sets of edits and folders always have source pictures. With ``edits`` a file has them too: those that its
    column ``image`` names. Without, that column is not read, since prompts of a file may also be used by themselves.
    Raises UsageError (unknown or invalid), MissingError (not fetched yet), CorruptError (other prompts than recorded).
    """
    name = find(name_or_path)
    if name is not None and name in index():
        return _indexed(name, index()[name])
    if name is not None:
        return _plugin(name)
    path = Path(name_or_path).expanduser()
    if path.exists() or path.suffix in SUFFIXES or os.sep in name_or_path:
        prompts = read_edits(path) if edits or path.is_dir() else read(path)
        origin = f"{'folder' if path.is_dir() else 'file'} {path.resolve().name}"
        return PromptSet(path.resolve().stem if path.is_dir() else path.stem, prompts, origin, licence="unknown")
    raise registry.unknown("prompt set", name_or_path, names(), "`bench list prompts` shows every name")


def by_image(name_or_path: str) -> dict[str, str] | None:
    """Returns the prompt of each image that a file of prompts names; None for a named set and where it names none.

    Raises UsageError, which names the line.
    """
    return read_by_image(Path(name_or_path).expanduser()) if find(name_or_path) is None else None


def names() -> list[str]:
    """Returns the names of all sets: those of index.yaml, then those of plug-ins."""
    return [*index(), *(name for name in registry.names("prompts") if name not in index())]


def find(name: str) -> str | None:
    """Returns the full name of a set by name or alias, or None for any other text."""
    for full, entry in index().items():
        if name in entry.aliases:
            return full
    return name if name in names() else None


def missing(name: str) -> str | None:
    """Returns a message with the command that fetches the set, or None where it is on this machine."""
    entry = index().get(name)
    if entry is None or entry.file or _fetched(name).is_file():
        return None
    return f"not fetched: bench fetch --prompts {[*entry.aliases, name][0]}"


@functools.cache
def index() -> dict[str, Entry]:
    """Returns the validated entries of index.yaml."""
    raw = read_yaml((FOLDER / "index.yaml").read_text(encoding="utf-8"))
    return {name: Entry.model_validate(entry) for name, entry in raw.items()}


def _fetched(name: str) -> Path:
    return cache_folder() / "prompts" / f"{name}.jsonl"


def _plugin(name: str) -> PromptSet:
    """Returns the prompt set of a plug-in. Raises UsageError where its function fails or returns something else."""
    function = registry.get("prompts", name)
    try:
        prompt_set = function()
    except BenchError:
        raise
    except (Exception, SystemExit) as error:  # a plug-in's function may raise anything
        raise _wrong(name, described(error, function)) from error
    problem = _problem(name, prompt_set)
    if problem:
        raise _wrong(name, problem)
    checked: PromptSet = replace(prompt_set, prompts=tuple(prompt_set.prompts))
    return checked


def _problem(name: str, prompt_set: Any) -> str | None:
    """Returns what keeps a plug-in's prompt set from being used, or None."""
    if not isinstance(prompt_set, PromptSet):
        return f"it is a {type(prompt_set).__name__}"
    if prompt_set.name != name:  # images and scores are filed under the set's own name
        return f"it is named {prompt_set.name!r}"
    if isinstance(prompt_set.prompts, str) or not isinstance(prompt_set.prompts, Sequence):
        return f"its prompts are a {type(prompt_set.prompts).__name__} and not a tuple of strings"
    if not prompt_set.prompts:
        return "it has no prompts"
    seen: dict[str, int] = {}
    for number, prompt in enumerate(prompt_set.prompts, start=1):
        if not isinstance(prompt, str):
            return f"prompt {number} is {prompt!r:.80}, a {type(prompt).__name__} and not a string"
        if not prompt.strip():
            return f"prompt {number} is empty"
        if not is_json(metadata([prompt])):
            return f"the metadata of prompt {number} cannot be written as JSON"
        if seen.setdefault(prompt, number) != number:
            return f"prompts {seen[prompt]} and {number} are the same: {prompt!r:.80}"
    return None


def _wrong(name: str, problem: str) -> UsageError:
    return UsageError(
        f"the plug-in of the prompt set {name!r} cannot be used",
        problem,
        f"let it return a PromptSet named {name!r} with different strings; bench check {name} tests the rest",
    )


def _indexed(name: str, entry: Entry) -> PromptSet:
    """Returns a set of index.yaml. Raises MissingError or CorruptError."""
    path = FOLDER / entry.file if entry.file else _fetched(name)
    if not entry.file and not path.is_file():
        raise MissingError(
            f"the prompt set {name!r} is not on this machine",
            "its prompts are not part of this package and have to be fetched once",
            f"bench fetch --prompts {[*entry.aliases, name][0]}",
        )
    with_pictures = entry.fetch is not None and entry.fetch.image
    prompts = (read_edits if with_pictures else read)(path)[slice(*(entry.rows or (None,)))]
    prompt_set = PromptSet(name, prompts, entry.origin, entry.licence)
    if len(prompt_set) != entry.count or entry.sha256 not in ("", prompt_set.hash):
        expected = f"{entry.count} with {entry.sha256[:12] or 'any'}…"
        raise CorruptError(
            f"{path} does not hold the prompts of {name!r}",
            f"it has {len(prompt_set)} prompts with sha256 {prompt_set.hash[:12]}…, expected {expected}",
            "install the package again" if entry.file else f"delete the file and run: bench fetch --prompts {name}",
        )
    return replace(prompt_set, prompts=drawn(prompt_set.prompts, name)) if entry.scenes else prompt_set
