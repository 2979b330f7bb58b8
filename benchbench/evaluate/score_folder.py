"""Scores images from anywhere: a folder of image files, with one prompt for each.

Imports torch only inside functions: wrong names on the command line must be reported before torch is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pandas as pd
from PIL import Image, UnidentifiedImageError

from benchbench.errors import CorruptError, MissingError, RunError, UsageError
from benchbench.evaluate.read_ahead import read_ahead
from benchbench.rewards import mix
from benchbench.rewards.mix import Ensemble
from benchbench.rewards.scoring import scoring
from benchbench.runtime.files import Log
from benchbench.runtime.progress import progress
from benchbench.types import PromptSet, Reward

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
BATCH = 64  # images that are open at a time; a reward may score fewer at once
COLUMNS = ["image", "prompt", "reward", "version", "unit", "score"]


def find_images(folder: Path) -> list[Path]:
    """Returns the image files of a folder, sorted by name. Raises MissingError if there are none."""
    images = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not images:
        cause = "it holds none" if folder.is_dir() else "there is no such folder"
        raise MissingError(
            f"no images in {folder}", f"{cause} ({', '.join(SUFFIXES)})", "name a folder that holds image files"
        )
    return images


def match_prompts(images: Sequence[Path], prompts: PromptSet) -> list[str]:
    """Returns the prompt of each image: the first prompt for the first image, and so on.

    Raises UsageError if the numbers of images and prompts differ.
    """
    if len(images) != len(prompts):
        raise UsageError(
            f"{len(images)} images and {len(prompts)} prompts cannot be paired",
            f"{images[0].name} to {images[-1].name} take one prompt each, in the order of their names",
            "give as many prompts as images: one a line, repeated where several images show one",
        )
    return list(prompts.prompts)


def score_folder(
    images: Sequence[Path], prompts: Sequence[str], rewards: Sequence[type[Reward]], *, device: str, log: Log
) -> pd.DataFrame:
    """Returns a row per image and reward, with ``COLUMNS``. One reward is in memory at a time.

    Raises CorruptError for a file that is no image, RunError for a score that is not a finite number, MissingError.
    """
    frames = []
    for reward_class in rewards:
        if issubclass(reward_class, Ensemble):
            members = {
                name: _scores(images, prompts, member, device, log)
                for name, member in reward_class.reward_classes.items()
            }
            statistics = mix.member_statistics(members)
            mix.log_statistics(reward_class.name, statistics, "images given", log)
            series = {name: pd.Series(values) for name, values in members.items()}
            values = reward_class.combine(series, statistics).tolist()
        else:
            values = _scores(images, prompts, reward_class, device, log)
        names = [path.name for path in images]
        frame = pd.DataFrame({"image": names, "prompt": list(prompts), "score": values})
        frame = frame.assign(reward=reward_class.name, version=reward_class.version, unit=reward_class.unit)
        frames.append(frame[COLUMNS])
    return pd.concat(frames, ignore_index=True)


def _scores(
    images: Sequence[Path], prompts: Sequence[str], reward_class: type[Reward], device: str, log: Log
) -> list[float]:
    from benchbench.runtime.precision import exact_fp32

    exact_fp32()
    reward = reward_class(device)
    score, values = scoring(reward, log), list[float]()
    reward.expect(prompts)
    rows = list(zip(images, prompts, strict=True))
    with (
        progress(len(images), f"scoring with {reward_class.name}", "images", 0) as bar,
        closing(read_ahead(rows, BATCH, lambda row: _open(row[0]), reward, device)) as batches,
    ):
        for batch, opened in batches:
            scores = score(opened, [prompt for _, prompt in batch]).tolist()
            if len(scores) != len(batch):
                raise RunError(
                    f"reward {reward_class.name} is wrong",
                    f"it gave {len(scores)} scores for {len(batch)} images",
                    f"bench check {reward_class.name}",
                )
            for (path, _), value in zip(batch, scores, strict=True):
                if not math.isfinite(value):
                    raise RunError(
                        f"reward {reward_class.name} gave {value}", f"for {path}", "look at that image, or leave it out"
                    )
            values += scores
            bar.advance(len(batch), f"{reward_class.name} {sum(scores) / len(scores):.3g}")
    return values


def _open(path: Path) -> Image.Image:
    """Returns the image in its own mode; each reward converts it to RGB as its authors do. Raises CorruptError."""
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (UnidentifiedImageError, OSError) as error:
        raise CorruptError(f"{path} cannot be read as an image", str(error), "repair it, or take it out") from error
