"""Opens preference pairs by a reference: a name, a file, a folder or a pattern. docs/pairs.md has the formats."""

from __future__ import annotations

from pathlib import Path

from benchbench.errors import CorruptError
from benchbench.pairs.dataset import BadRow, PairSet, RawPair
from benchbench.pairs.files import PairFiles
from benchbench.pairs.named import named_files
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
]


def open_pairs(reference: str, *, nodup: bool = False, skip_bad: bool = True, ties: bool = False) -> PairFiles:
    """Returns the pairs that ``reference`` names.

    A reference is a file, a folder, a pattern of files, or ``pickapic_v1`` or ``pickapic_v2`` for all fetched shards
    (``pickapic_v2:0-3`` for shards 0 to 3). ``nodup`` keeps one pair per caption; ``ties`` keeps pairs of which neither
    picture was preferred. Errors: UsageError (unknown reference, missing column), MissingError (not fetched),
    CorruptError.
    """
    name, paths = named_files(reference)
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
