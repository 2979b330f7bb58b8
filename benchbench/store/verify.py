"""Reads and hashes everything that a store keeps, and says what is damaged and what to do.

Nothing is changed but caches: a damaged image takes the index of its generation with it, and the cache of hashes is
corrected, so that the next command does not trust what is damaged. Votes, logs and rendered pages have no checksum.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchbench.errors import BenchError, CorruptError
from benchbench.runtime.cores import cores
from benchbench.runtime.hashing import digest, file_sha256, one_hash_cache
from benchbench.runtime.json_files import find_object, parse
from benchbench.runtime.progress import progress
from benchbench.runtime.sealed import parse_sealed, unseal
from benchbench.store import image_index, metrics, run_index, runs
from benchbench.store.images import check_picture
from benchbench.store.parts import check_part
from benchbench.store.run_file import DONE, RUN

AT_A_TIME = 256  # files; an interruption waits for these
RESUME = "run the same bench train command with --resume; where it refuses, train into another --out"
REMEDIES = {
    "images": "run the evaluation again: it makes what is damaged again",
    "scores": "run the evaluation again: it scores these images again",
    "measurements": "run the measurement again: it measures this part again",
    "runs": RESUME,
    "pairs": "make the pairs again: the same bench pairs make",
    "reports": "make the report again: the same command, which finds its images and scores in the store",
    "studies": "make the study again under another name: bench study new",
    "unfinished": "remove the file; the same bench score scores these images again",
}
"""The folders of a store whose files have checksums, and what to do about a damaged file."""


class Damage(NamedTuple):
    """A damaged file, what is wrong with it, and what to do."""

    path: Path
    cause: str
    remedy: str


Check = Callable[[], object]
"""Raises an error for a damaged file."""


def verify(store: Path) -> tuple[int, list[Damage]]:
    """Returns the number of files that were checked, and the damaged ones."""
    count, checks = sum(1 for _ in _checks(store)), _checks(store)
    damages: list[Damage] = []
    with (
        one_hash_cache(trusted=False),
        ThreadPoolExecutor(cores()) as pool,
        progress(count, "verifying", "files") as bar,
    ):
        while some := list(islice(checks, AT_A_TIME)):
            for (path, _), cause in zip(some, pool.map(_cause, some), strict=True):
                if cause:
                    damages.append(Damage(path, cause, _remedy(path.relative_to(store))))
            bar.advance(len(some), f"{len(damages)} damaged" if damages else "")
    for folder in {damage.path.parent for damage in damages if damage.path.suffix == ".webp"}:
        with suppress(OSError):  # a store that can only be read
            (folder / image_index.FILE).unlink(missing_ok=True)
    return count, damages


def _cause(item: tuple[Path, Check]) -> str:
    """Returns what is wrong with a file, or an empty text."""
    try:
        item[1]()
    except BenchError as error:
        return error.cause
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return ""


def _remedy(path: Path) -> str:
    if path.parts[0] == "images" and path.name == "record.json":
        return "remove its folder and run the evaluation again: it makes these images again"
    return REMEDIES[path.parts[0]]


def _checks(store: Path) -> Iterator[tuple[Path, Check]]:
    """Yields the files to check, and how."""
    seeds: dict[Path, int | None] = {}
    for part in REMEDIES:
        for folder, inner, names in os.walk(store / part):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            for path in (Path(folder) / name for name in sorted(names) if not name.startswith(".")):
                if path.suffix == ".webp" and part == "images":
                    if path.parent not in seeds:
                        seeds[path.parent] = _seed(path.parent)
                    yield path, partial(check_picture, path, seeds[path.parent])
                elif check := _check_of(path, part):
                    yield path, check


def _check_of(path: Path, part: str) -> Check | None:
    """Returns the check of a file that is no image; None for one without a checksum, and for caches."""
    if path.name in (run_index.INDEX, image_index.FILE, DONE):  # caches, and what ``_run`` reads
        return None
    if path.suffix == ".parquet":
        return partial(_pairs, path) if part == "pairs" else partial(check_part, path)
    if part == "runs" and path.name == RUN:
        return partial(_run, path.parent)
    if path.name == metrics.FILE:
        return partial(_lines, path)
    if path.name == "state.json" and path.parent.parent.name == "checkpoints":
        return partial(_checkpoint, path)
    if path.name == runs.KEPT_FILE and path.parent.parent.name == runs.KEPT_FOLDER:
        return partial(runs.find_adapter, path, path.parent)
    if path.name == "record.json" and part in ("images", "measurements"):
        return partial(_keyed, path)
    return partial(_json, path) if path.suffix == ".json" else None


def _seed(folder: Path) -> int | None:
    key = (find_object(folder / "record.json") or {}).get("key")
    seed = key.get("eval_seed") if isinstance(key, dict) else None
    return seed if isinstance(seed, int) else None


def _json(path: Path) -> None:
    value = parse(path.read_bytes())
    if isinstance(value, dict):
        unseal(value)


def _keyed(path: Path) -> None:
    """Raises ValueError for a record whose key is not the one that its folder is named by."""
    if digest(parse_sealed(path.read_bytes())["key"]) != path.parent.name:
        raise ValueError("its key is not the one that its folder is named by")


def _lines(path: Path) -> None:
    """Raises ValueError for a damaged line; a last line without a newline is one that is being written."""
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            parse_sealed(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error


def _run(folder: Path) -> None:
    run = runs.read(folder)
    if run.state == "damaged":
        raise CorruptError(f"the run {run.id} is damaged", run.note, RESUME)


def _checkpoint(path: Path) -> None:
    for name, sha256 in parse_sealed(path.read_bytes())["files"].items():
        if file_sha256(path.parent / Path(name).name) != sha256:
            raise ValueError(f"{name} does not have the sha256 that is recorded")


def _pairs(path: Path) -> None:
    record = parse_sealed(path.with_name("record.json").read_bytes())
    if "sha256" in record and file_sha256(path) != record["sha256"]:
        raise ValueError("it does not have the sha256 that record.json has")
