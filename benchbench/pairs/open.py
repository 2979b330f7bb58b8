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
from benchbench.runtime.files import Say
from benchbench.runtime.hash_cache import Hashes

__all__ = ["SHAPES", "BadRow", "PairItem", "PairSet", "PairStream", "RawPair", "SkippedRow", "open_pairs"]

SHAPES = "made:shapes-simple:shapes-pref:32"
"""What an offline method trains on in the shapes world where nothing is named: 1440 images, as many pairs."""
SPLIT = re.compile(r"(.+)-\d+-of-\d+")


def open_pairs(
    reference: str,
    store: Path,
    *,
    nodup: bool = False,
    skip_bad: bool = True,
    ties: bool = False,
    model: str = "shapes",
    device: str | None = None,
    say: Say = print,
) -> PairFiles:
    """The pairs that ``reference`` names.

    A file, a folder or a pattern of files; ``pickapic_v1`` or ``pickapic_v2``, fetched shards (``pickapic_v2:0-3``:
    these); ``made:PROMPTS:REWARD:IMAGES``, pairs of images of the base ``model``, made unless they are in the store.
    ``nodup`` keeps one pair a caption, ``ties`` also those where neither was preferred. Errors: UsageError (unknown, or
    a column is missing), MissingError (not fetched), CorruptError.
    """
    name, paths = _files(reference, store, model, device, say)
    hashes = Hashes(store / "pairs" / "hashes.json")
    try:
        return PairFiles(name, paths, hashes, nodup=nodup, skip_bad=skip_bad, ties=ties)
    finally:
        hashes.save()


def check_reference(reference: str) -> None:
    """Refuses what cannot be opened, before anything slow happens. Errors: UsageError, MissingError."""
    if not reference.startswith("made:"):
        _files(reference, Path(), "", None, print)
        return
    from benchbench import prompts

    prompts_name, reward, _ = _parse(reference)
    prompts.load(prompts_name)
    registry.require_reward(reward)


def _files(reference: str, store: Path, model: str, device: str | None, say: Say) -> tuple[str, Sequence[Path]]:
    """The set's name and its files."""
    if reference.startswith("made:"):
        from benchbench import prompts
        from benchbench.evaluate.make_pairs import make_pairs

        prompts_name, reward, images = _parse(reference)
        folder = make_pairs(model, prompts.load(prompts_name), reward, store, images, device=device, say=say)
        return folder.name, [folder / "pairs.parquet"]
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


def _parse(reference: str) -> tuple[str, str, int]:
    """Prompts, reward and images a prompt of ``made:PROMPTS:REWARD:IMAGES``. Errors: UsageError."""
    words = reference.removeprefix("made:").rsplit(":", 2)
    if len(words) != 3 or not words[2].isdecimal() or int(words[2]) < 2:
        raise UsageError(
            f"{reference!r} does not say which pairs to make",
            "it is not of the form made:PROMPTS:REWARD:IMAGES with 2 images or more",
            f"for example {SHAPES}",
        )
    return words[0], words[1], int(words[2])
