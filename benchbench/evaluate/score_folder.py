"""Scores images from anywhere: image files or images in memory, with one prompt for each.

Imports torch only inside functions: wrong names on the command line must be reported before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from benchbench import reward_calls
from benchbench.errors import BenchError, UsageError
from benchbench.evaluate.kept_scores import KeptScores, UnkeptScores
from benchbench.evaluate.mean_note import MeanNote
from benchbench.evaluate.read_ahead import read_ahead
from benchbench.rewards import mix
from benchbench.rewards.mix import Ensemble
from benchbench.rewards.scoring import at_a_time, scoring
from benchbench.runtime.changed_pictures import ChangedPictures
from benchbench.runtime.files import Log
from benchbench.runtime.pictures import read_picture
from benchbench.runtime.progress import progress
from benchbench.runtime.words import counted
from benchbench.types import Reward

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 64  # images that are open at a time; a reward may score fewer at once
Scores = KeptScores | UnkeptScores
COLUMNS = ["image", "prompt", "reward", "version", "unit", "score"]


def score_folder(
    images: Sequence[Path] | Sequence[Image],
    prompts: Sequence[str],
    rewards: Sequence[type[Reward]],
    *,
    store: Path,
    device: str,
    log: Log,
) -> pd.DataFrame:
    """Returns a row per image and reward, with ``COLUMNS``. One reward is in memory at a time.

    ``log`` gets, once, what was done to images that are not 8-bit RGB (``runtime.pictures``). Where an error or Ctrl-C
    breaks this off, the scores of files so far are kept in ``store``, and the same call goes on from them. Images in
    memory are named 0, 1, 2, ... in the result. Raises CorruptError
    for a file that cannot be read as an image, UsageError for an image that a reward cannot score, RunError for
    anything but a finite score for each image, MissingError.
    """
    frames, changed, kept = [], ChangedPictures(), list[Scores]()
    files = [image for image in images if isinstance(image, Path)]
    names = [path.name for path in files] or [str(row) for row in range(len(images))]

    def scores_of(member: type[Reward]) -> list[float]:
        kept.append(KeptScores(store, files, prompts, member) if files else UnkeptScores(len(images)))
        return _scores(images, names, prompts, member, kept[-1], device, log, changed)

    try:
        for reward_class in rewards:
            if issubclass(reward_class, Ensemble):
                members = {name: scores_of(member) for name, member in reward_class.reward_classes.items()}
                statistics = mix.member_statistics(members)
                mix.log_statistics(reward_class.name, statistics, "images given", log)
                series = {name: pd.Series(values) for name, values in members.items()}
                values = reward_class.combine(series, statistics).tolist()
            else:
                values = scores_of(reward_class)
            frame = pd.DataFrame({"image": names, "prompt": list(prompts), "score": values})
            frame = frame.assign(reward=reward_class.name, version=reward_class.version, unit=reward_class.unit)
            frames.append(frame[COLUMNS])
    except BaseException:
        _keep(kept, log)
        raise
    for scores in kept:
        scores.remove()
    for line in changed.lines():
        log(line)
    return pd.concat(frames, ignore_index=True)


def _keep(kept: Sequence[Scores], log: Log) -> None:
    """Writes the scores so far. Where that fails, it logs so: the error that broke the command off is told as well."""
    try:
        for scores in kept:
            scores.save()
    except BenchError as error:
        log(f"warning: the scores so far cannot be kept: {error.problem} ({error.cause})")


def _scores(
    images: Sequence[Path] | Sequence[Image],
    names: Sequence[str],
    prompts: Sequence[str],
    reward_class: type[Reward],
    kept: Scores,
    device: str,
    log: Log,
    changed: ChangedPictures,
) -> list[float]:
    """Returns the scores of all images, after computing and keeping those that are missing."""
    from benchbench.runtime.precision import exact_fp32

    missing = kept.missing()
    if len(missing) < len(images):
        log(f"{len(images) - len(missing)} of {counted(len(images), 'score')} by {reward_class.name} were made before")
    exact_fp32()
    reward = reward_calls.load(reward_class, device)
    score = scoring(reward, log)
    for line in reward.prompt_warnings(prompts):
        log(line)
    reward_calls.expect(reward, prompts)
    size, mean = at_a_time(reward, BATCH), MeanNote(reward_class.name, kept.values())

    def read(row: int) -> Image:
        return _open(images[row], names[row], reward, changed)

    with (
        progress(len(images), f"scoring with {reward_class.name}", "images", len(images) - len(missing)) as bar,
        closing(read_ahead(missing, size, read, reward, device)) as batches,
    ):
        for rows, opened in batches:
            named = [_named(images[row], names[row]) for row in rows]
            scores = score(opened, [prompts[row] for row in rows], named.__getitem__).tolist()
            kept.add(rows, scores)
            bar.advance(len(rows), mean.after(scores))
    return kept.values()


def _named(image: Path | Image, name: str) -> str:
    return str(image) if isinstance(image, Path) else f"image {name}"


def _open(source: Path | Image, name: str, reward: Reward, changed: ChangedPictures) -> Image:
    """Returns the image as RGB, after counting what was done to it. Raises CorruptError, UsageError."""
    described = _named(source, name)
    image, changes = read_picture(source, described)
    reason = reward.refuses(*image.size)
    if reason:
        raise UsageError(f"{described} cannot be scored with {reward.name}", reason, "crop the image, or take it out")
    changed.add(changes, described, name)
    return image
