"""Prompts with source pictures, which say how to edit them: of a user's file or folder, or drawn from scenes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from benchbench.api import Prompt, metadata
from benchbench.errors import CorruptError, UsageError
from benchbench.prompt_set import PromptSet, Source, sources
from benchbench.runtime.hashing import HashCache, bytes_sha256
from benchbench.runtime.picture_bytes import read_bytes

from .files import IMAGE_FIELDS, checked_rows

ENDINGS = (".jsonl", ".csv")


def read_edits(path: Path) -> tuple[Prompt, ...]:
    """Returns the instructions of a .jsonl or .csv file with the picture that the column ``image`` names beside each.

    A folder stands for the one such file in it. Errors: UsageError, which names the line, also for a picture outside
    the folder of the file.
    """
    file = file_in(path) if path.is_dir() else path
    rows = checked_rows(file)
    column = next((field for field in IMAGE_FIELDS if any(field in row for _, _, row in rows)), None)
    if column is None:
        cause = "it has no column 'image' or 'file_name'"
        raise _bad(file, cause, "name the picture to edit beside each prompt, as a path from the file's folder")
    prompts = []
    with HashCache() as sha256:
        for line, prompt, row in rows:
            picture, name = _picture(file, line, row.get(column)), f"{file.name}, line {line}: {row.get(column)}"
            try:
                content_hash = sha256(picture)
            except OSError as error:
                cause = f"line {line} names {row[column]!r:.100}: {error.strerror or error}"
                raise _bad(file, cause, "check the path, which starts at the file's folder") from error
            source = Source(name, content_hash, partial(_content, picture, name, content_hash))
            prompts.append(Prompt(prompt, metadata([prompt])[0], source))
    return tuple(prompts)


def file_in(folder: Path) -> Path:
    """Returns the one file of a folder that may name pictures and prompts. Errors: UsageError."""
    files = sorted(path for path in folder.iterdir() if path.suffix in ENDINGS and not path.name.startswith("."))
    if len(files) != 1:
        found = ", ".join(path.name for path in files) or "none"
        raise UsageError(
            f"the prompts in {folder} cannot be read",
            f"it is a folder, and has to hold one .jsonl or .csv file that names pictures; found: {found}",
            'write one with lines like {"image": "1.png", "prompt": "make it blue"}, or name one of the files',
        )
    return files[0]


def drawn(prompts: Sequence[str], set_name: str) -> tuple[Prompt, ...]:
    """Returns the prompts with the picture of the scene in each one's metadata as source.

    The module that draws is imported only now: it loads numpy and Pillow, which `bench --help` must not load.
    """
    source_of = import_module("benchbench.shapes.sources").source_of
    return tuple(
        Prompt(prompt, row, source_of(row["scene"], f"{set_name}, prompt {number}"))
        for number, (prompt, row) in enumerate(zip(prompts, metadata(prompts), strict=True), start=1)
    )


def refuse_sources(prompts: PromptSet) -> None:
    """Raises UsageError for a set of edits, where pictures have no use."""
    if any(sources(prompts.prompts)):
        raise UsageError(
            f"the prompts of {prompts.name} edit pictures, which nothing here reads",
            "pictures are edited in evaluations alone",
            "choose a set without pictures: bench list prompts; edits are made by bench eval --strength 0.75",
        )


def _picture(file: Path, line: int, name: object) -> Path:
    """Returns the path of a picture that a line names. Errors: UsageError where it lies outside the file's folder."""
    folder = file.parent.resolve()
    text = name.strip() if isinstance(name, str) else ""
    try:
        path = (folder / text).resolve() if text and "\0" not in text else None
        special = path is not None and path.exists() and not path.is_file()  # reading a pipe would never end
    except (OSError, ValueError, RuntimeError):  # too long, half of a character, a loop of links
        path, special = None, False
    if path is None or not path.is_relative_to(folder):
        cause = f"line {line} names {name!r:.100}, which is no file in the folder of {file.name}"
        raise _bad(file, cause, "copy the pictures beside the file, and name one in every line")
    if special:
        raise _bad(file, f"line {line} names {name!r:.100}, which is no regular file", "name a picture's file")
    return path


def _content(path: Path, name: str, sha256: str) -> bytes:
    """Returns the bytes of a picture. Errors: CorruptError where they are not those that were hashed."""
    try:
        data = read_bytes(path)
    except OSError as error:
        cause = error.strerror or str(error)
        raise CorruptError(f"{name} cannot be read", cause, "put the picture back, or take its line out") from error
    if bytes_sha256([data]) != sha256:
        raise CorruptError(f"{name} has changed", "it is another file than at the start", "run the same command again")
    return data


def _bad(path: Path, cause: str, remedy: str) -> UsageError:
    return UsageError(f"the edits in {path} cannot be read", cause, remedy)
