"""Pick-a-Pic's shards of pairs: which repositories have them, and which of them were fetched to this machine.

After a fetch, ``pairs/NAME.json`` in the cache says where each shard lies and what its sha256 was.
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
    """The training split of a data set of pairs; its shards are the files that match, in the order of their names."""

    repos: tuple[str, ...]
    pattern: str
    size: str
    origin: str


SOURCES = {
    "pickapic_v1": Source(
        ("pickapic-anonymous/pickapic_v1", "yuvalkirstain/pickapic_v1"),
        "data/train-*.parquet",
        "about 200 GB",
        "Pick-a-Pic v1, split train (arXiv:2305.01569); pictures and captions of users, some not safe for work",
    ),
    "pickapic_v2": Source(
        ("liuhuohuo2/pick-a-pic-v2", "yuvalkirstain/pickapic_v2"),
        "data/train-*.parquet",
        "about 335 GB",
        "Pick-a-Pic v2, split train, what Diffusion-DPO and DSPO train on; of users, some not safe for work",
    ),
}


def numbers(text: str) -> list[int]:
    """``0-2,7`` as 0, 1, 2, 7. Errors: UsageError."""
    found: list[int] = []
    for word in text.split(","):
        first, dash, last = word.strip().partition("-")
        if not first.isdecimal() or (dash and not (last.isdecimal() and int(first) <= int(last))):
            raise UsageError(f"{text!r} does not name shards", f"{word!r} is not a number or a range", "write 0-3,7")
        found += range(int(first), int(last or first) + 1)
    return sorted(set(found))


def recorded(name: str) -> dict[int, dict[str, Any]]:
    """What was fetched, by the shard's number: ``path`` and ``sha256``."""
    entries = find_object(_memory(name)) or {}
    try:
        return {int(number): {"path": e["path"], "sha256": e["sha256"]} for number, e in entries.items()}
    except (ValueError, KeyError, TypeError):
        return {}


def add(name: str, number: int, path: Path, sha256: str) -> None:
    """Records a shard that was fetched and hashed."""
    entries = recorded(name) | {number: {"path": str(path), "sha256": sha256}}
    write_json(_memory(name), {str(n): entries[n] for n in sorted(entries)})


def here(name: str) -> list[int]:
    """The numbers of the shards that are on this machine."""
    return [n for n, entry in sorted(recorded(name).items()) if Path(entry["path"]).is_file()]


def paths(name: str, wanted: list[int] | None = None) -> list[Path]:
    """The files of the wanted shards, or of all that are here. Errors: MissingError."""
    have = here(name)
    missing = [n for n in wanted if n not in have] if wanted is not None else []
    if missing or not have:
        which = ",".join(map(str, missing)) or "0-3"
        raise MissingError(
            f"shards of {name} are not on this machine",
            f"missing: {which}" if missing else "none was fetched",
            f"bench fetch --pairs {name} --shards {which}",
        )
    entries = recorded(name)
    return [Path(entries[n]["path"]) for n in (have if wanted is None else wanted)]


def _memory(name: str) -> Path:
    return cache_folder() / "pairs" / f"{name}.json"
