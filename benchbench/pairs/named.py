"""The files of pairs that a reference names. Imports nothing that is slow to load: a wrong word is told at once."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from benchbench import registry
from benchbench.errors import UsageError
from benchbench.hub import pickapic

SPLIT = re.compile(r"(.+)-\d+-of-\d+")


def named_files(reference: str) -> tuple[str, Sequence[Path]]:
    """Returns the name and the files of the set that ``reference`` names. Errors: UsageError, MissingError."""
    name, colon, shards = reference.partition(":")
    if name in pickapic.SOURCES:
        return name, pickapic.shard_paths(name, pickapic.parse_shards(shards) if colon else None)
    path = Path(reference).expanduser()
    if glob.has_magic(reference) and not path.exists():
        files = sorted(Path(p) for p in glob.glob(str(path)))
    elif path.is_dir():
        patterns = ("[!.]*.parquet", "[!.]*.jsonl", "data/[!.]*.parquet")
        files = sorted(file for pattern in patterns for file in path.glob(pattern))
    else:
        files = [path] if path.exists() else []
    if not files:
        if path.suffix or os.sep in reference or path.exists():
            raise UsageError(
                f"there are no pairs at {reference}",
                "the folder has no .parquet or .jsonl file" if path.is_dir() else "there is no such file or folder",
                "see docs/pairs.md for the formats",
            )
        raise registry.unknown(
            "set of pairs", reference, pickapic.SOURCES, "name a file or a folder, or made:PROMPTS:REWARD:IMAGES"
        )
    for file in files:
        if not file.is_file():  # a pipe or a device might never end
            cause = "it is a folder, a pipe or a device"
            raise UsageError(f"{file} cannot be read as pairs", cause, "name regular files, or a folder of them")
    _refuse_several_sets(reference, files)
    return path.stem if path.is_file() else path.name, files


def _refuse_several_sets(reference: str, files: Sequence[Path]) -> None:
    """Raises UsageError for files of several splits or formats, which would be mixed by accident."""
    splits = sorted({match[1] for path in files if (match := SPLIT.fullmatch(path.stem))})
    formats = sorted({path.suffix for path in files})
    if len(splits) > 1 or len(formats) > 1:
        names, pattern = (splits, f"{splits[0]}-*") if len(splits) > 1 else (formats, f"*{formats[0]}")
        raise UsageError(
            f"{reference} holds several sets of pairs",
            f"there are {', '.join(names)}",
            f"name one: '{Path(reference) / pattern}'",
        )
