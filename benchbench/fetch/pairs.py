"""Fetches shards of preference pairs from the hub, each hashed and agreed with the lock."""

from __future__ import annotations

import fnmatch
import re

from benchbench import registry
from benchbench.errors import BenchError, CorruptError, MissingError, UsageError
from benchbench.fetch import files
from benchbench.hub import pickapic
from benchbench.hub.lock import agree
from benchbench.runtime.hashing import file_sha256
from benchbench.runtime.progress import progress


def fetch_pairs(name: str, shards: str) -> str:
    """Fetches shards of preference pairs (``0-3,7`` or ``all``); each one's sha256 is computed, recorded, and agreed.

    Errors: UsageError, MissingError, CorruptError (a shard is not what it was).
    """
    source = pickapic.SOURCES.get(name)
    if source is None:
        raise registry.unknown("set of pairs", name, pickapic.SOURCES, "name one of them")
    wanted = None if shards == "all" else pickapic.numbers(shards)
    problems = []
    for repo in source.repos:
        try:
            names = sorted(fnmatch.filter(files.repository(repo, "dataset", "main"), source.pattern))
            if not names:
                raise FileNotFoundError(f"it has no {source.pattern}")
            numbers = list(range(len(names))) if wanted is None else wanted
            if numbers[-1] >= len(names):
                raise UsageError(
                    f"{name} has no shard {numbers[-1]}", f"it has 0 to {len(names) - 1}", "name others with --shards"
                )
            with progress(len(numbers), f"fetching {name}", "shards") as bar:
                for n in numbers:
                    if n not in pickapic.here(name):
                        _fetch_shard(name, n, repo, names[n])
                    bar.advance()
            return f"shards {', '.join(map(str, pickapic.here(name)))} of 0 to {len(names) - 1} are here"
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
    path = files.download(repo, "dataset", "main", [file], ()) / file
    found, named = file_sha256(path), path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", named) and named != found:  # the hub's cache names large files by their hash
        raise CorruptError(
            f"shard {number} of {name} was not fetched whole",
            f"its sha256 is {found}, its name on the hub {named}",
            f"delete {path.resolve()} and fetch it again",
        )
    agree(f"pairs {repo} {file}", found)
    pickapic.add(name, number, path, found)
