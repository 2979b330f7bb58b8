"""Scores of a folder of images that an interrupted command had made: the same command goes on from them.

    unfinished/<digest of folder and reward>.json     scores by the digest of an image's file, prompt and metadata

A command that ends removes its files, and one that ends within ``SAVE_EVERY`` seconds writes none.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchbench.prompt_set import metadata
from benchbench.runtime.hashing import digest
from benchbench.runtime.sealed import find_sealed, write_sealed
from benchbench.types import Reward

SAVE_EVERY = 30.0  # seconds of scoring that a kill can lose


class UnkeptScores:
    """The scores of one reward of images that are in memory: nothing is kept for another command."""

    def __init__(self, count: int) -> None:
        self._scores: list[float | None] = [None] * count

    def missing(self) -> list[int]:
        """Returns the rows that have no score yet."""
        return [row for row, score in enumerate(self._scores) if score is None]

    def add(self, rows: Sequence[int], scores: Sequence[float]) -> None:
        """Takes the scores of some rows."""
        for row, score in zip(rows, scores, strict=True):
            self._scores[row] = score

    def save(self) -> None:
        """Does nothing."""

    def values(self) -> list[float]:
        """Returns the scores of the rows that have one, in the order of the rows."""
        return [score for score in self._scores if score is not None]

    def remove(self) -> None:
        """Does nothing."""


class KeptScores:
    """The scores of one reward, by its identity. A row is an image's file, told by size and time, and its prompt."""

    def __init__(self, store: Path, images: Sequence[Path], prompts: Sequence[str], reward: type[Reward]) -> None:
        folders = sorted({ascii(path.parent.resolve()) for path in images})
        self.path = store / "unfinished" / f"{digest([folders, reward.name, reward.identity()])}.json"
        self._keys = [
            _key(path, prompt, fields)
            for path, prompt, fields in zip(images, prompts, metadata(prompts, reward.needs), strict=True)
        ]
        found = find_sealed(self.path) or {}
        scores = found.get("scores")
        self._scores: dict[str, float] = scores if isinstance(scores, dict) else {}
        self._saved = time.monotonic()

    def missing(self) -> list[int]:
        """Returns the rows that have no score yet."""
        return [row for row, key in enumerate(self._keys) if key not in self._scores]

    def add(self, rows: Sequence[int], scores: Sequence[float]) -> None:
        """Takes the scores of some rows, and writes the file every ``SAVE_EVERY`` seconds."""
        self._scores.update((self._keys[row], score) for row, score in zip(rows, scores, strict=True))
        if time.monotonic() - self._saved > SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Writes the file, unless there is nothing to keep. Raises RunError where it cannot be written."""
        if self._scores:
            write_sealed(self.path, {"scores": self._scores}, indent=None)
        self._saved = time.monotonic()

    def values(self) -> list[float]:
        """Returns the scores of the rows that have one, in the order of the rows."""
        return [self._scores[key] for key in self._keys if key in self._scores]

    def remove(self) -> None:
        """Removes the file, whose scores are in the result now, and its folder once that is empty."""
        self.path.unlink(missing_ok=True)
        with suppress(OSError):  # it holds files of other commands, or was never made
            self.path.parent.rmdir()


def _key(path: Path, prompt: str, fields: dict[str, object]) -> str:
    stat = path.stat()
    return digest([ascii(path.name), stat.st_size, stat.st_mtime_ns, prompt, fields])
