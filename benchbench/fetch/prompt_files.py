"""The rows of a fetched prompt set: reads them from a data set's files, and writes them to the cache.

Imports pandas only inside a function, where it is needed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchbench.errors import CorruptError
from benchbench.hub.lock import pin
from benchbench.prompt_set import Prompt, PromptSet, Source
from benchbench.runtime.files import cache_folder, write_atomic
from benchbench.runtime.hashing import bytes_sha256
from benchbench.runtime.json_files import find_list


class Row(NamedTuple):
    """A prompt and the bytes of the picture that it edits, if there is one."""

    text: str
    picture: bytes | None


def read_rows(path: Path, column: str, image: str = "") -> list[Row]:
    """Returns the rows of a parquet, JSON or TSV file; an empty column means a JSON list of strings.

    ``image`` is the column of the pictures, which only parquet files have. Errors: CorruptError for a row without one.
    """
    if not image:
        return [Row((text or "").strip(), None) for text in _texts(path, column)]
    import pandas as pd

    frame = pd.read_parquet(path, columns=[column, image])
    rows = []
    for number, (text, picture) in enumerate(zip(frame[column], frame[image], strict=True)):
        data = picture.get("bytes") if isinstance(picture, dict) else None
        if not isinstance(data, bytes) or not data:
            raise CorruptError(
                f"{path.name} is not the expected file",
                f"row {number} has no picture in the column {image!r}",
                "report it; until then give prompts and pictures as a file",
            )
        rows.append(Row((text or "").strip(), data))
    return rows


def write_set(name: str, rows: Sequence[Row]) -> None:
    """Writes the set to the cache, its file of prompts last. Errors: CorruptError where an earlier fetch differs.

    Pictures keep the bytes that they have in the data set, under numbers: what they are is known by their content.
    """
    folder = cache_folder() / "prompts"
    pictures = {f"{name}/{number:05d}": row.picture for number, row in enumerate(rows) if row.picture is not None}
    sources = [None if row.picture is None else Source("", bytes_sha256([row.picture]), bytes) for row in rows]
    prompts = tuple(Prompt(row.text, None, source) for row, source in zip(rows, sources, strict=True))
    pin(f"prompts {name}", PromptSet(name, prompts, "", "").hash)
    for place, picture in pictures.items():
        write_atomic(folder / place, picture)
    lines: list[dict[str, str]] = [{"prompt": row.text} for row in rows]
    if pictures:
        lines = [{**line, "image": place} for line, place in zip(lines, pictures, strict=True)]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_atomic(folder / f"{name}.jsonl", text.encode())


def _texts(path: Path, column: str) -> list[Any]:
    """Returns the values of a column."""
    if path.suffix == ".parquet":
        import pandas as pd

        return list(pd.read_parquet(path, columns=[column])[column])
    if path.suffix == ".json":
        rows = find_list(path) or []  # the caller checks their number
        return [row[column] for row in rows] if column else rows
    with path.open(encoding="utf-8", newline="") as file:
        return [row[column] for row in csv.DictReader(file, delimiter="\t")]
