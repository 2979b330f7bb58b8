"""Scores images from anywhere: a folder of image files, with one prompt for each.

Imports torch only inside functions: wrong names on the command line must be reported before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from benchbench import reward_calls
from benchbench.errors import UsageError
from benchbench.evaluate.read_ahead import read_ahead
from benchbench.rewards import mix
from benchbench.rewards.mix import Ensemble
from benchbench.rewards.scoring import at_a_time, scoring
from benchbench.runtime.changed_pictures import ChangedPictures
from benchbench.runtime.files import Log
from benchbench.runtime.pictures import read_picture
from benchbench.runtime.progress import progress
from benchbench.types import Reward

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 64  # images that are open at a time; a reward may score fewer at once
COLUMNS = ["image", "prompt", "reward", "version", "unit", "score"]


def score_folder(
    images: Sequence[Path], prompts: Sequence[str], rewards: Sequence[type[Reward]], *, device: str, log: Log
) -> pd.DataFrame:
    """Returns a row per image and reward, with ``COLUMNS``. One reward is in memory at a time.

    ``log`` gets, once, what was done to images that are not 8-bit RGB (``runtime.pictures``). Raises CorruptError for a
    file that cannot be read as an image, UsageError for an image that a reward cannot score, RunError for anything but
    a finite score for each image, MissingError.
    """
    frames, changed = [], ChangedPictures()
    for reward_class in rewards:
        if issubclass(reward_class, Ensemble):
            members = {
                name: _scores(images, prompts, member, device, log, changed)
                for name, member in reward_class.reward_classes.items()
            }
            statistics = mix.member_statistics(members)
            mix.log_statistics(reward_class.name, statistics, "images given", log)
            series = {name: pd.Series(values) for name, values in members.items()}
            values = reward_class.combine(series, statistics).tolist()
        else:
            values = _scores(images, prompts, reward_class, device, log, changed)
        names = [path.name for path in images]
        frame = pd.DataFrame({"image": names, "prompt": list(prompts), "score": values})
        frame = frame.assign(reward=reward_class.name, version=reward_class.version, unit=reward_class.unit)
        frames.append(frame[COLUMNS])
    for line in changed.lines():
        log(line)
    return pd.concat(frames, ignore_index=True)


def _scores(
    images: Sequence[Path],
    prompts: Sequence[str],
    reward_class: type[Reward],
    device: str,
    log: Log,
    changed: ChangedPictures,
) -> list[float]:
    from benchbench.runtime.precision import exact_fp32

    exact_fp32()
    reward = reward_calls.load(reward_class, device)
    score, values = scoring(reward, log), list[float]()
    for line in reward.prompt_warnings(prompts):
        log(line)
    reward_calls.expect(reward, prompts)
    rows = list(zip(images, prompts, strict=True))
    with (
        progress(len(images), f"scoring with {reward_class.name}", "images", 0) as bar,
        closing(
            read_ahead(rows, at_a_time(reward, BATCH), lambda row: _open(row[0], reward, changed), reward, device)
        ) as batches,
    ):
        for batch, opened in batches:
            scores = score(opened, [prompt for _, prompt in batch], _file_of(batch)).tolist()
            values += scores
            bar.advance(len(batch), f"{reward_class.name} {sum(scores) / len(scores):.3g}")
    return values


def _file_of(batch: Sequence[tuple[Path, str]]) -> Callable[[int], str]:
    """Returns the function that names the file of a row of the batch."""
    return lambda row: str(batch[row][0])


def _open(path: Path, reward: Reward, changed: ChangedPictures) -> Image:
    """Returns the image as RGB, after counting what was done to it. Raises CorruptError, UsageError."""
    image, changes = read_picture(path, str(path))
    reason = reward.refuses(*image.size)
    if reason:
        raise UsageError(f"{path} cannot be scored with {reward.name}", reason, "crop the image, or take it out")
    changed.add(changes, path, path.name)
    return image
