"""Offline preference pairs: opened by a reference, read as a stream. Formats: docs/pairs.md."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from benchbench import registry
from benchbench.errors import UsageError
from benchbench.hub import pickapic
from benchbench.pairs.dataset import BadRow, PairSet, RawPair
from benchbench.pairs.files import PairFiles
from benchbench.pairs.stream import PairItem, PairStream, SkippedRow
from benchbench.runtime.hashing import HashCache

__all__ = ["BadRow", "PairItem", "PairSet", "PairStream", "RawPair", "SkippedRow", "files_of", "open_pairs"]

SPLIT = re.compile(r"(.+)-\d+-of-\d+")


def open_pairs(reference: str, *, nodup: bool = False, skip_bad: bool = True, ties: bool = False) -> PairFiles:
    """The pairs that ``reference`` names.

    A file, a folder or a pattern of files; ``pickapic_v1`` or ``pickapic_v2``, fetched shards (``pickapic_v2:0-3``:
    these). ``nodup`` keeps one pair a caption, ``ties`` also those where neither was preferred. Errors: UsageError
    (unknown, or a column is missing), MissingError (not fetched), CorruptError.
    """
    name, paths = files_of(reference)
    with HashCache() as sha256:
        return PairFiles(name, paths, sha256, nodup=nodup, skip_bad=skip_bad, ties=ties)


def files_of(reference: str) -> tuple[str, Sequence[Path]]:
    """Returns the set's name and its files. Errors: UsageError, MissingError."""
    name, colon, shards = reference.partition(":")
    if name in pickapic.SOURCES:
        return name, pickapic.paths(name, pickapic.numbers(shards) if colon else None)
    path = Path(reference).expanduser()
    if glob.has_magic(reference) and not path.exists():
        found = sorted(Path(p) for p in glob.glob(str(path)))
    elif path.is_dir():
        found = sorted([*path.glob("*.parquet"), *path.glob("*.jsonl"), *path.glob("data/*.parquet")])
    else:
        found = [path] if path.is_file() else []
    if not found:
        if path.suffix or os.sep in reference or path.exists():
            raise UsageError(
                f"there are no pairs at {reference}",
                "it holds no .parquet or .jsonl file" if path.is_dir() else "there is no such file or folder",
                "see docs/pairs.md for the formats",
            )
        raise registry.unknown(
            "set of pairs", reference, pickapic.SOURCES, "name a file or a folder, or made:PROMPTS:REWARD:IMAGES"
        )
    _refuse_mixtures(reference, found)
    return path.stem if path.is_file() else path.name, found


def _refuse_mixtures(reference: str, found: Sequence[Path]) -> None:
    """No two splits, and no two formats, are one set by accident."""
    splits = {match[1] for path in found if (match := SPLIT.fullmatch(path.stem))}
    if len(splits) > 1 or len({path.suffix for path in found}) > 1:
        what = sorted(splits) if len(splits) > 1 else sorted({path.suffix for path in found})
        raise UsageError(
            f"{reference} holds several sets of pairs",
            f"there are {', '.join(what)}",
            f"name one: '{Path(reference) / (what[0] + '-*' if len(splits) > 1 else '*' + what[0])}'",
        )
