"""JSON objects with a checksum of their content, which every read verifies.

The field ``checksum`` is the sha256 of the JSON of all other fields, so that white space may change and no value can.
Objects that earlier versions wrote have no such field; they are read as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchbench.errors import CorruptError
from benchbench.runtime.hashing import text_sha256
from benchbench.runtime.json_files import find_object, parse_object, read_object, write_json

FIELD = "checksum"
MISMATCH = "its content is not what was written: the checksum differs"


def seal(value: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the object as it will be read, with its checksum."""
    plain = parse_object(json.dumps(value))  # names become strings and tuples become lists
    plain.pop(FIELD, None)
    return {**plain, FIELD: _checksum(plain)}


def unseal(value: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the object without its checksum. Raises ValueError where the checksum is not that of the content."""
    plain = {name: item for name, item in value.items() if name != FIELD}
    if FIELD in value and value[FIELD] != _checksum(plain):
        raise ValueError(MISMATCH)
    return plain


def parse_sealed(text: str | bytes) -> dict[str, Any]:
    """Returns the object of a JSON text without its checksum. Raises ValueError, also for a wrong checksum."""
    return unseal(parse_object(text))


def read_sealed(path: Path, remedy: str) -> dict[str, Any]:
    """Returns the object of a file. Raises CorruptError with ``remedy`` as its last line, also for a wrong checksum."""
    try:
        return unseal(read_object(path, remedy))
    except ValueError as error:
        raise CorruptError(f"{path} is damaged", str(error), remedy) from error


def find_sealed(path: Path) -> dict[str, Any] | None:
    """Returns the object of a file, or None where the file is missing or damaged, or its checksum is wrong."""
    try:
        value = find_object(path)
        return None if value is None else unseal(value)
    except ValueError:
        return None


def write_sealed(path: Path, value: Mapping[str, Any], indent: int | None = 1) -> None:
    """Writes an object with its checksum atomically. Raises RunError as ``write_json`` does."""
    write_json(path, seal(value), indent)


def _checksum(plain: Mapping[str, Any]) -> str:
    """Returns the sha256 of the JSON with sorted names. It takes NaN, which the metrics of a run may hold."""
    return text_sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")))
