"""Reads and writes JSON files: objects, lists, and lines of objects.

``read_object`` is for a file that a command needs; ``find_object`` and ``find_list`` are for data that can be derived
again, so that a damaged file counts as missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchbench.errors import CorruptError
from benchbench.runtime.files import Log, write_atomic

Parse = Callable[[bytes], dict[str, Any]]  # raises ValueError for a damaged line


def parse(text: str | bytes) -> Any:
    """Returns the value of a JSON text. Raises ValueError, also for text that is too deeply nested or not UTF-8."""
    try:
        return json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Returns the object of a JSON text. Raises ValueError for anything else."""
    value = parse(text)
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """Returns the object of a file. Raises CorruptError with the file's name and ``remedy`` as its last line."""
    try:
        return parse_object(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CorruptError(f"{path} cannot be read", str(error), remedy) from error


def find_object(path: Path) -> dict[str, Any] | None:
    """Returns the object of a file, or None where the file is missing or damaged."""
    try:
        return parse_object(path.read_bytes())
    except (OSError, ValueError):
        return None


def find_list(path: Path) -> list[Any] | None:
    """Returns the list of a file, or None where the file is missing or damaged."""
    try:
        value = parse(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, list) else None


def read_lines(path: Path, log: Log, parse_line: Parse = parse_object) -> list[dict[str, Any]]:
    """Returns the object of each line; damaged lines are left out, and ``log`` is told how many.

    ``parse_line`` turns a line into its object. A missing file gives no lines. A last line without newline is left out
    silently: a killed or running writer leaves one. Raises CorruptError for a file that cannot be opened.
    """
    lines, rows, damaged = _lines(path), [], []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(parse_line(line))
        except ValueError:
            damaged += [number] if number < len(lines) else []
    if damaged:
        log(f"warning: {path} is damaged: {len(damaged)} of its lines are left out, first line {damaged[0]}")
    return rows


def last_line(path: Path, parse_line: Parse = parse_object) -> dict[str, Any] | None:
    """Returns the object of the last undamaged line, or None. Raises CorruptError as ``read_lines`` does."""
    for line in reversed(_lines(path)):
        try:
            return parse_line(line)
        except ValueError:
            continue
    return None


def _lines(path: Path) -> list[bytes]:
    """Returns the text between newlines: the last item has no newline after it. A missing file gives one empty item."""
    try:
        return path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [b""]
    except OSError as error:
        raise CorruptError(
            f"{path} cannot be read", str(error), "check that it is a file and that you may read it"
        ) from error


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Writes a JSON value atomically. Raises RunError as ``write_atomic`` does."""
    write_atomic(path, (json.dumps(value, indent=indent) + "\n").encode())
