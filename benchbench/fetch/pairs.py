"""Fetches shards of preference pairs from the hub, and checks their hashes against the lock."""

from __future__ import annotations

import fnmatch
import re

from benchbench import registry
from benchbench.errors import BenchError, CorruptError, MissingError, UsageError
from benchbench.fetch import files
from benchbench.hub import pickapic
from benchbench.hub.lock import pin
from benchbench.runtime.hashing import file_sha256
from benchbench.runtime.progress import progress


def fetch_pairs(name: str, shards: str) -> str:
    """Fetches shards of preference pairs (``0-3,7`` or ``all``) and returns a message with those on this machine.

    Raises UsageError, MissingError, or CorruptError for a shard that changed since its first fetch.
    """
    source = pickapic.SOURCES.get(name)
    if source is None:
        raise registry.unknown("set of pairs", name, pickapic.SOURCES, "name one of them")
    wanted = None if shards == "all" else pickapic.parse_shards(shards)
    problems = []
    for repo in source.repos:
        try:
            names = sorted(fnmatch.filter(files.repository(repo, "dataset", "main"), source.pattern))
            if not names:
                raise FileNotFoundError(f"it has no {source.pattern}")
            numbers = list(range(len(names))) if wanted is None else wanted
            if numbers[-1] >= len(names):
                raise UsageError(
                    f"{name} has no shard {numbers[-1]}", f"it has 0 to {len(names) - 1}", "choose others with --shards"
                )
            with progress(len(numbers), f"fetching {name}", "shards") as bar:
                for n in numbers:
                    if n not in pickapic.local_shards(name):
                        _fetch_shard(name, n, repo, names[n])
                    bar.advance()
            return f"shards {', '.join(map(str, pickapic.local_shards(name)))} of 0 to {len(names) - 1} are here"
        except BenchError:
            raise
        except Exception as error:  # the network's errors have no common class: offline, gone, gated, interrupted
            problems.append(f"{repo}: {files.first_line(error)}")
    raise MissingError(
        f"the pairs {name} cannot be fetched",
        "; ".join(problems),
        "go online (unset HF_HUB_OFFLINE) and run it again, or name a folder that holds the shards with --pairs",
    )


def _fetch_shard(name: str, number: int, repo: str, file: str) -> None:
    """Downloads one shard, checks its hash and records it. Raises CorruptError."""
    path = files.download(repo, "dataset", "main", [file], ()) / file
    sha256, blob = file_sha256(path), path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", blob) and blob != sha256:  # the hub's cache names large files by their hash
        raise CorruptError(
            f"shard {number} of {name} is incomplete",
            f"its sha256 is {sha256}, the hub has {blob}",
            f"delete {path.resolve()} and fetch it again",
        )
    pin(f"pairs {repo} {file}", sha256)
    pickapic.record_shard(name, number, path, sha256)
