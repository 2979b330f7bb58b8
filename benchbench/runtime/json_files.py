"""JSON files: one reader of objects, lists and lines, and one writer.

``read_object`` is for a file that a command cannot do without; ``find_object`` and ``find_list`` are for what can be
derived again, so that a damaged file is one that is missing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchbench.errors import CorruptError
from benchbench.runtime.files import Log, write_atomic


def parse(text: str | bytes) -> Any:
    """Returns the value of a JSON text. Errors: ValueError, also for what is nested too deeply or is not UTF-8."""
    try:
        return json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Returns the object of a JSON text. Errors: ValueError for anything else."""
    value = parse(text)
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """Returns the object of a file. Errors: CorruptError, which names the file and ends in ``remedy``."""
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


def read_lines(path: Path, log: Log) -> list[dict[str, Any]]:
    """Returns the object of each line; a line that holds none is left out, and how many were is said.

    No file is no line. A last line without its end is what a kill, or a writer at work, left: it is left out silently.
    Errors: CorruptError for a file that cannot be opened.
    """
    lines, rows, bad = _lines(path), [], []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(parse_object(line))
        except ValueError:
            bad += [number] if number < len(lines) else []
    if bad:
        log(f"warning: {path} is damaged: {len(bad)} of its lines are left out, first line {bad[0]}")
    return rows


def last_line(path: Path) -> dict[str, Any] | None:
    """Returns the object of the last sound line, or None where there is none. Errors: as ``read_lines``."""
    for line in reversed(_lines(path)):
        try:
            return parse_object(line)
        except ValueError:
            continue
    return None


def _lines(path: Path) -> list[bytes]:
    """The lines of a file, the last without an end; one empty line where there is no file."""
    try:
        return path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [b""]
    except OSError as error:
        raise CorruptError(f"{path} cannot be read", str(error), "see that it is a file that you may read") from error


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Writes a value. Errors: RunError for a disk that is full."""
    write_atomic(path, (json.dumps(value, indent=indent) + "\n").encode())
