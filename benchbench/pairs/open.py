"""Opens preference pairs by a reference: a name, a file, a folder or a pattern. docs/pairs.md has the formats."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from benchbench import registry
from benchbench.errors import CorruptError, UsageError
from benchbench.hub import pickapic
from benchbench.pairs.dataset import BadRow, PairSet, RawPair
from benchbench.pairs.files import PairFiles
from benchbench.pairs.stream import PairItem, PairStream, SkippedRow, unusable
from benchbench.runtime.hashing import HashCache
from benchbench.runtime.sealed import read_sealed

__all__ = [
    "BadRow",
    "PairItem",
    "PairSet",
    "PairStream",
    "RawPair",
    "SkippedRow",
    "open_pairs",
    "require_usable",
    "resolve_files",
]

SPLIT = re.compile(r"(.+)-\d+-of-\d+")


def open_pairs(reference: str, *, nodup: bool = False, skip_bad: bool = True, ties: bool = False) -> PairFiles:
    """Returns the pairs that ``reference`` names.

    A reference is a file, a folder, a pattern of files, or ``pickapic_v1`` or ``pickapic_v2`` for all fetched shards
    (``pickapic_v2:0-3`` for shards 0 to 3). ``nodup`` keeps one pair per caption; ``ties`` keeps pairs of which neither
    picture was preferred. Errors: UsageError (unknown reference, missing column), MissingError (not fetched),
    CorruptError.
    """
    name, paths = resolve_files(reference)
    with HashCache() as sha256:
        for path in paths:
            _check_made(path, sha256)
        return PairFiles(name, paths, sha256, nodup=nodup, skip_bad=skip_bad, ties=ties)


def _check_made(path: Path, sha256: HashCache) -> None:
    """Raises CorruptError for pairs that ``bench pairs make`` made and that have another sha256 than its record."""
    record = path.with_name("record.json")
    if path.name != "pairs.parquet" or not record.is_file():
        return
    remedy = "make them again with bench pairs make; where you changed them on purpose, remove record.json beside them"
    made = read_sealed(record, remedy).get("sha256")
    if made is not None and made != sha256(path):
        raise CorruptError(
            f"the pairs {path} are not those that were made", f"{record} records another sha256 of the file", remedy
        )


def require_usable(pairs: PairFiles) -> None:
    """Raises CorruptError where no pair can be used, before anything slow happens for nothing."""
    errors = unusable(pairs)
    if errors:
        raise CorruptError(
            f"the pairs {pairs.name} cannot be used",
            f"not one of {len(errors)} of its {len(pairs)} pairs can be read; the first: {errors[0]}",
            "repair them: bench pairs check lists every row with its reason",
        )


def resolve_files(reference: str) -> tuple[str, Sequence[Path]]:
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
