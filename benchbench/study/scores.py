"""Scores the pictures of a study with rewards, which are compared with people or answer in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from benchbench.diffusion.backbones import pick_device
from benchbench.evaluate.score_folder import score_folder
from benchbench.runtime.files import Log
from benchbench.study.design import Study
from benchbench.study.pictures import FOLDER
from benchbench.types import Reward

Scores = Mapping[str, Sequence[float]]
"""Scores by reward, one for each picture of the study."""


def score_pictures(
    folder: Path, study: Study, rewards: Sequence[type[Reward]], device: str | None = None, log: Log = print
) -> Scores:
    """Returns the scores of the study's pictures under each reward. Errors: those of ``score_folder``."""
    if not rewards:
        return {}
    paths = [folder / FOLDER / picture.file for picture in study.pictures]
    prompts = [study.prompts[picture.prompt] for picture in study.pictures]
    frame: pd.DataFrame = score_folder(paths, prompts, rewards, store=folder, device=str(pick_device(device)), log=log)
    return {reward.name: frame.score[frame.reward == reward.name].tolist() for reward in rewards}
