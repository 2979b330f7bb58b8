"""Scores images from anywhere: a folder of files and a prompt for each."""

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
BATCH = 64  # images that are open at a time; a reward may take fewer at once
COLUMNS = ["image", "prompt", "reward", "version", "unit", "score"]


def find(folder: Path) -> list[Path]:
    """The images of a folder, in the order of their names. Errors: MissingError."""
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        what = "it holds none" if folder.is_dir() else "there is no such folder"
        raise MissingError(
            f"no images in {folder}", f"{what} ({', '.join(SUFFIXES)})", "name a folder that holds image files"
        )
    return found


def pair(images: Sequence[Path], prompts: PromptSet) -> list[str]:
    """A prompt an image: the first for the first, and so on. Errors: UsageError where there are more of one."""
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
    """A row an image and reward, with ``COLUMNS``. One reward is in memory at a time.

    Errors: CorruptError for a file that is no image, RunError for a score that is not a number, MissingError.
    """
    frames = []
    for kind in rewards:
        if issubclass(kind, Ensemble):
            members = {name: _scores(images, prompts, one, device, log) for name, one in kind.reward_classes.items()}
            statistics = mix.member_statistics(members)
            mix.log_statistics(kind.name, statistics, "images given", log)
            tensors = {name: pd.Series(values) for name, values in members.items()}
            values = kind.combine(tensors, statistics).tolist()
        else:
            values = _scores(images, prompts, kind, device, log)
        names = [path.name for path in images]
        frame = pd.DataFrame({"image": names, "prompt": list(prompts), "score": values})
        frames.append(frame.assign(reward=kind.name, version=kind.version, unit=kind.unit)[COLUMNS])
    return pd.concat(frames, ignore_index=True)


def _scores(images: Sequence[Path], prompts: Sequence[str], kind: type[Reward], device: str, log: Log) -> list[float]:
    from benchbench.runtime.precision import exact_fp32

    exact_fp32()
    reward = kind(device)
    score, values = scoring(reward, log), list[float]()
    reward.expect(prompts)
    rows = list(zip(images, prompts, strict=True))
    with (
        progress(len(images), f"scoring with {kind.name}", "images", 0) as bar,
        closing(read_ahead(rows, BATCH, lambda row: _open(row[0]), reward, device)) as batches,
    ):
        for part, opened in batches:
            found = score(opened, [prompt for _, prompt in part]).tolist()
            if len(found) != len(part):
                raise RunError(
                    f"reward {kind.name} is wrong", f"{len(found)} scores for {len(part)} images", "report it"
                )
            for (path, _), value in zip(part, found, strict=True):
                if not math.isfinite(value):
                    raise RunError(
                        f"reward {kind.name} gave {value}", f"for {path}", "look at that image, or leave it out"
                    )
            values += found
            bar.advance(len(part), f"{kind.name} {sum(found) / len(found):.3g}")
    return values


def _open(path: Path) -> Image.Image:
    """The picture in its own mode: each reward makes RGB of it as its authors do."""
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (UnidentifiedImageError, OSError) as error:
        raise CorruptError(f"{path} cannot be read as an image", str(error), "mend it, or take it out") from error
