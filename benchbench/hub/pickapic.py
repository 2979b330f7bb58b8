"""The shards of Pick-a-Pic's pairs: their repositories, and the shards that are on this machine.

``bench fetch`` writes the path and the sha256 of each shard to ``pairs/NAME.json`` in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbench.errors import MissingError, UsageError
from benchbench.runtime.files import cache_folder
from benchbench.runtime.json_files import find_object, write_json


@dataclass(frozen=True)
class Source:
    """The training split of a data set of pairs. Its shards are the files that match ``pattern``, sorted by name."""

    repos: tuple[str, ...]
    pattern: str
    size: str
    origin: str


SOURCES = {
    "pickapic_v1": Source(
        ("pickapic-anonymous/pickapic_v1", "yuvalkirstain/pickapic_v1"),
        "data/train-*.parquet",
        "about 200 GB",
        "Pick-a-Pic v1, split train (arXiv:2305.01569); images and captions by users, some not safe for work",
    ),
    "pickapic_v2": Source(
        ("liuhuohuo2/pick-a-pic-v2", "yuvalkirstain/pickapic_v2"),
        "data/train-*.parquet",
        "about 335 GB",
        "Pick-a-Pic v2, split train, used by Diffusion-DPO and DSPO; by users, some not safe for work",
    ),
}


def parse_shards(text: str) -> list[int]:
    """Returns the numbers in a text such as ``0-2,7``: 0, 1, 2, 7. Raises UsageError."""
    numbers: list[int] = []
    for word in text.split(","):
        first, dash, last = word.strip().partition("-")
        if not first.isdecimal() or (dash and not (last.isdecimal() and int(first) <= int(last))):
            raise UsageError(f"{text!r} does not name shards", f"{word!r} is not a number or a range", "write 0-3,7")
        numbers += range(int(first), int(last or first) + 1)
    return sorted(set(numbers))


def fetched_shards(name: str) -> dict[int, dict[str, Any]]:
    """Returns ``path`` and ``sha256`` of each shard that was fetched, by its number."""
    entries = find_object(_record(name)) or {}
    try:
        return {int(number): {"path": e["path"], "sha256": e["sha256"]} for number, e in entries.items()}
    except (ValueError, KeyError, TypeError):
        return {}


def record_shard(name: str, number: int, path: Path, sha256: str) -> None:
    """Records a shard that was fetched and hashed."""
    entries = fetched_shards(name) | {number: {"path": str(path), "sha256": sha256}}
    write_json(_record(name), {str(n): entries[n] for n in sorted(entries)})


def local_shards(name: str) -> list[int]:
    """Returns the numbers of the shards whose files are on this machine."""
    return [n for n, entry in sorted(fetched_shards(name).items()) if Path(entry["path"]).is_file()]


def shard_paths(name: str, wanted: list[int] | None = None) -> list[Path]:
    """Returns the files of the wanted shards, or of all on this machine. Raises MissingError."""
    local = local_shards(name)
    missing = [n for n in wanted if n not in local] if wanted is not None else []
    if missing or not local:
        which = ",".join(map(str, missing)) or "0-3"
        raise MissingError(
            f"shards of {name} are not on this machine",
            f"missing: {which}" if missing else "none was fetched",
            f"bench fetch --pairs {name} --shards {which}",
        )
    entries = fetched_shards(name)
    return [Path(entries[n]["path"]) for n in (local if wanted is None else wanted)]


def _record(name: str) -> Path:
    return cache_folder() / "pairs" / f"{name}.json"
