"""Offline preference pairs: opened by a reference, read as a stream. Formats: docs/pairs.md."""

from __future__ import annotations

from pathlib import Path

from benchbench.store.files import Say
from benchbench.train.pair_sets import BadRow, PairSet, RawPair
from benchbench.train.pair_stream import PairItem, PairStream, SkippedRow

__all__ = ["BadRow", "PairItem", "PairSet", "PairStream", "RawPair", "SkippedRow", "open_pairs"]


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
) -> PairSet:
    """The pairs that ``reference`` names.

    A file or a folder of pairs; ``pickapic_v1`` or ``pickapic_v2``, fetched shards (``pickapic_v2:0-3`` is some of
    them); ``made:PROMPTS:REWARD:IMAGES``, pairs of images of the base ``model``, made now unless they are in the store.
    ``nodup`` keeps one pair a caption, ``ties`` also those where neither was preferred. Errors: UsageError (unknown, or
    a column is missing), MissingError (not fetched), CorruptError.
    """
    raise NotImplementedError
