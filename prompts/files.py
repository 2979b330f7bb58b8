"""Reads prompts from a user's file; its errors name the line."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

from benchbench.errors import UsageError
from benchbench.runtime.json_files import parse

FIELDS = ("prompt", "caption")


def read(path: Path) -> tuple[str, ...]:
    """Returns the prompts of a .txt, .jsonl or .csv file, at least one. Raises UsageError, which names the line."""
    if path.is_dir():
        raise _bad(path, "it is a folder", "name a file in it")
    if not path.is_file():
        raise _bad(path, "there is no such file", "check the path; `bench list prompts` shows the named sets")
    if path.suffix not in SUFFIXES:
        raise _bad(
            path, f"its name does not end in {', '.join(SUFFIXES)}", "rename it so that its ending names its format"
        )
    prompts = []
    for line, prompt in SUFFIXES[path.suffix](path, _text(path)):
        if not prompt.strip():
            raise _bad(path, f"line {line} holds no prompt", "remove the line; the empty prompt cannot be trained on")
        prompts.append(prompt.strip())
    if not prompts:
        raise _bad(path, "it holds no prompt", "write one prompt a line")
    return tuple(prompts)


def _text(path: Path) -> str:
    """Returns the text of a UTF-8 file. Raises UsageError."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")  # with or without a byte order mark
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _bad(
            path, f"it is not UTF-8: byte {error.start}, in line {line}", "save it as UTF-8, for example with iconv"
        ) from error


def _lines(_path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Yields each line with its number."""
    if text.strip():
        yield from enumerate(text.rstrip().split("\n"), start=1)


def _jsonl(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Yields the prompt of each JSON line with the line's number. Raises UsageError."""
    for number, line in _lines(path, text):
        try:
            row = parse(line)
        except ValueError as error:
            raise _bad(path, f"line {number} is not JSON: {error}", "write one JSON object a line") from error
        prompt = next((row[field] for field in FIELDS if field in row), None) if isinstance(row, dict) else None
        if not isinstance(prompt, str):
            raise _bad(path, f"line {number} has no text under 'prompt' or 'caption'", 'write {"prompt": "a cat"}')
        yield number, prompt


def _csv(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Yields the prompt of each CSV row with its line number. Raises UsageError."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    columns = [name for name in FIELDS if name in (rows.fieldnames or ())]
    if text.strip() and not columns:
        raise _bad(path, "line 1, the header, has no column 'prompt' or 'caption'", "name the column with the prompts")
    for row in rows:
        yield rows.line_num, row[columns[0]] or ""


SUFFIXES: dict[str, Callable[[Path, str], Iterator[tuple[int, str]]]] = {".txt": _lines, ".jsonl": _jsonl, ".csv": _csv}


def _bad(path: Path, cause: str, remedy: str) -> UsageError:
    return UsageError(f"the prompts in {path} cannot be read", cause, remedy)
