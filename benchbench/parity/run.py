"""Scores the same pictures on both sides, one model in memory at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchbench.errors import UsageError
from benchbench.evaluate.folder_images import find_images
from benchbench.evaluate.score_folder import score_folder
from benchbench.parity import child
from benchbench.parity.compare import Row
from benchbench.parity.pictures import prompts, write_copies, write_made
from benchbench.parity.references import REFERENCES
from benchbench.runtime.files import Log
from benchbench.types import Reward


def run(
    python: Path, rewards: Mapping[str, type[Reward]], files: Sequence[Path] | None, count: int, log: Log
) -> Iterator[Row]:
    """Yields the comparison of each reward when it is done, on the pictures of ``files``, or on ``count`` made ones.

    ``python`` is the interpreter of the environment. Raises what ``score_folder`` and ``child.scores`` do.
    """
    with tempfile.TemporaryDirectory(prefix="bench-parity-") as name:
        folder = Path(name) / "pictures"
        folder.mkdir()
        pictures = write_made(count, folder) if files is None else write_copies(files, folder, log)
        texts = prompts(len(pictures))
        for reward_name, reward_class in rewards.items():
            ours = score_folder(pictures, texts, [reward_class], store=Path(name), device="cpu", log=log)[
                "score"
            ].tolist()
            work = Path(name) / reward_name
            work.mkdir()
            weights = [asset.paths() for asset in reward_class.assets]
            reference = REFERENCES[reward_name]
            theirs = child.scores(python, reward_name, weights, pictures, texts, work)
            yield Row(reward_name, reference.title, ours, [reference.factor * score for score in theirs])


def find_pictures(folder: Path, log: Log) -> list[Path]:
    """Returns the image files of a user's folder, and says which are left out. Raises MissingError, UsageError."""
    found = find_images(folder)
    for note in found.notes:
        log(note)
    if len(found.paths) < 2:
        raise UsageError(
            f"{folder} holds one image", "differences are counted in deviations of scores", "name more images"
        )
    return found.paths
