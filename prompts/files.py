"""Reads prompts from a user's file; its errors name the line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchbench.api import Prompt
from benchbench.errors import UsageError
from benchbench.runtime.hashing import canonical
from benchbench.runtime.json_files import parse

FIELDS = ("prompt", "caption")
IMAGE_FIELDS = ("image", "file_name")
MAX_BYTES = 2**28
"""Bytes of a file of prompts; a larger one is some other file."""


def read(path: Path) -> tuple[str, ...]:
    """Returns the prompts of a .txt, .jsonl or .csv file, at least one. Raises UsageError, which names the line.

    The further columns of a .jsonl file are the metadata of its prompts.
    """
    return tuple(prompt for _, prompt, _ in checked_rows(path))


def read_by_image(path: Path) -> dict[str, str] | None:
    """Returns the prompt of each image that the column ``image`` or ``file_name`` names, by the last part of its path.

    Returns None for a file without such a column. Raises UsageError, as ``read`` does and for a line that names no
    image, or one that another line names.
    """
    rows = checked_rows(path)
    column = next((field for field in IMAGE_FIELDS if any(field in row for _, _, row in rows)), None)
    if column is None:
        return None
    by_image: dict[str, str] = {}
    for line, prompt, row in rows:
        value = row.get(column)
        name = value.replace("\\", "/").rpartition("/")[2].strip() if isinstance(value, str) else ""
        if not name:
            raise _bad(path, f"line {line} names no file under {column!r}", "name an image file in every line")
        if name in by_image:
            raise _bad(path, f"line {line} names {name!r}, as a line before it does", "give each image one prompt")
        by_image[name] = prompt
    return by_image


def checked_rows(path: Path) -> list[tuple[int, str, Mapping[str, Any]]]:
    """Returns line number, prompt and fields of every row. Raises UsageError."""
    if path.is_dir():
        raise _bad(path, "it is a folder", "name a file in it")
    if not path.is_file():
        raise _bad(path, "there is no such file", "check the path; `bench list prompts` shows the named sets")
    if path.suffix not in SUFFIXES:
        raise _bad(
            path, f"its name does not end in {', '.join(SUFFIXES)}", "rename it so that its ending names its format"
        )
    rows: list[tuple[int, str, Mapping[str, Any]]] = []
    for line, prompt, row in SUFFIXES[path.suffix](path, _text(path)):
        if not prompt.strip():
            raise _bad(path, f"line {line} holds no prompt", "remove the line; the empty prompt cannot be trained on")
        if any("\ud800" <= sign <= "\udfff" for sign in prompt):
            raise _bad(path, f"line {line} holds half of a character (a surrogate)", "write the character whole")
        text = prompt.strip()
        rows.append((line, Prompt(text, metadata) if (metadata := _metadata(path, row)) else text, row))
    if not rows:
        raise _bad(path, "it holds no prompt", "write one prompt a line")
    return rows


def _metadata(path: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the columns of a JSON line beside its prompt and its image.

    A value that no JSON text holds (NaN, infinity, half of a character) counts as missing: it could not be hashed.
    """
    if path.suffix != ".jsonl":
        return {}
    prompt = next(field for field in FIELDS if field in row)
    return {name: row[name] for name in row if name not in (prompt, *IMAGE_FIELDS) and is_json([name, row[name]])}


def is_json(value: Any) -> bool:
    """Returns whether a value can be written as JSON in UTF-8, and so be hashed."""
    try:
        canonical(value).encode()
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _text(path: Path) -> str:
    """Returns the text of a UTF-8 file. Raises UsageError."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _bad(path, f"it has {size} bytes, more than {MAX_BYTES}", "name the file that holds the prompts")
        data = path.read_bytes()
    except OSError as error:
        raise _bad(path, error.strerror or str(error), "check that you may read it") from error
    try:
        text = data.decode("utf-8-sig")  # with or without a byte order mark
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _bad(
            path, f"it is not UTF-8: byte {error.start}, in line {line}", "save it as UTF-8, for example with iconv"
        ) from error
    if "\0" in text:
        raise _bad(
            path, "it is not UTF-8: it has zero bytes, as UTF-16 has", "save it as UTF-8, for example with iconv"
        )
    return text


def _lines(_path: Path, text: str) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Yields each line that is not blank, with its number; lines end as on Linux, Windows or old Macs."""
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        if line.strip():
            yield number, line, {}


def _jsonl(path: Path, text: str) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Yields the prompt and the fields of each JSON line with the line's number. Raises UsageError."""
    for number, line, _ in _lines(path, text):
        try:
            row = parse(line)
        except ValueError as error:
            raise _bad(path, f"line {number} is not JSON: {error}", "write one JSON object a line") from error
        prompt = next((row[field] for field in FIELDS if field in row), None) if isinstance(row, dict) else None
        if not isinstance(prompt, str):
            raise _bad(path, f"line {number} has no text under 'prompt' or 'caption'", 'write {"prompt": "a cat"}')
        yield number, prompt, row


def _csv(path: Path, text: str) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Yields the prompt and the fields of each CSV row with its line number. Raises UsageError."""
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        header = list(rows.fieldnames or ())
        columns = [name for name in FIELDS if name in header]
        if text.strip() and not columns:
            cause = "line 1, the header, has no column 'prompt' or 'caption'"
            raise _bad(path, cause, "name the column with the prompts; columns are separated by commas")
        twice = next((name for name in (*columns, *IMAGE_FIELDS) if header.count(name) > 1), None)
        if twice:
            raise _bad(path, f"line 1, the header, has two columns {twice!r}", "keep one of them")
        for row in rows:
            if None in row:  # what is left over of a line
                cause = f"line {rows.line_num} has more fields than the header"
                raise _bad(path, cause, 'put a prompt with commas into quotes: "a cat, on a mat"')
            yield rows.line_num, row[columns[0]] or "", row
    except csv.Error as error:
        raise _bad(
            path, f"line {rows.line_num} is not CSV: {error}", "close every quote, and double those in a text"
        ) from error


SUFFIXES: dict[str, Callable[[Path, str], Iterator[tuple[int, str, Mapping[str, Any]]]]] = {
    ".txt": _lines,
    ".jsonl": _jsonl,
    ".csv": _csv,
}


def _bad(path: Path, cause: str, remedy: str) -> UsageError:
    return UsageError(f"the prompts in {path} cannot be read", cause, remedy)
