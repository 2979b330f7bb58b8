"""Diversity: 1 minus the mean cosine between the image features of two images of one prompt, by the evaluation CLIP.

It is 0 for a model that makes one image per prompt, whatever the seed. The CLIP is the embedded world's for shapes, and
LAION's ViT-H/14 otherwise. The store keeps the values under the hashes of the images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from benchbench.errors import UsageError
from benchbench.evaluate.generate import Generation
from benchbench.rewards import lookup
from benchbench.rewards.identity import key_of_reward
from benchbench.runtime.files import Log
from benchbench.runtime.memory import Splitter
from benchbench.store.measurements import MeasurementStore
from benchbench.store.scores import made_by
from benchbench.types import Reward

NAME = "diversity"
BATCH = 32


def diversity(
    generations: Sequence[Generation], clip: str | type[Reward], *, store: Path, device: str, log: Log
) -> pd.DataFrame:
    """Returns one row per prompt with the columns of scores; ``reward`` is "diversity". Seeds are pooled.

    Raises UsageError if there is one image per prompt, and what ``lookup.require`` raises.
    """
    clip_class: Any = lookup.as_class(clip)
    items = [(generation, sample) for generation in generations for sample in generation.entries]
    prompts = {sample.index: sample.prompt for _, sample in items}
    if len(items) < 2 * len(prompts):
        raise UsageError(
            "one image a prompt has no diversity", "it compares images of one prompt", "make 2 or more images a prompt"
        )
    hashes = [[sample.index, generation.entries[sample].sha256] for generation, sample in items]
    key = {"schema": 1, "clip": key_of_reward(clip_class), "images": hashes}
    measurements = MeasurementStore(store, NAME, key, made_by(clip_class))

    def prepare() -> Callable[[int, int], pd.DataFrame]:
        model = clip_class(device)

        def features_of(rows: slice) -> Tensor:
            images = [generation.images.read(sample) for generation, sample in items[rows]]
            features: Tensor = model.features(images).double().cpu()
            return features

        splitter = Splitter(f"in the features of {clip_class.name}", BATCH, row="image", log=log)
        features = splitter(features_of, len(items))
        prompt_of_image = torch.tensor([sample.index for _, sample in items])
        values = [mean_cosine_distance(features[prompt_of_image == index]) for index in prompts]

        def rows(_start: int, _stop: int) -> pd.DataFrame:
            columns = {"prompt_index": list(prompts), "prompt": list(prompts.values()), "sample": 0}
            return pd.DataFrame({**columns, "eval_seed": generations[0].seed, "score": values})

        return rows

    title = f"diversity by {clip_class.name}"
    frame = measurements.collect(1, 1, prepare, lambda: {"device": device}, title, "models", log)
    return frame.assign(reward=NAME, version=f"{clip_class.name} {clip_class.version}", unit="1 - cos")


def mean_cosine_distance(features: Tensor) -> float:
    """Returns 1 minus the mean cosine over the n (n - 1)/2 pairs of the unit vectors [n, D]."""
    n = len(features)
    return float(1 - (features @ features.T).triu(1).sum() / (n * (n - 1) / 2))
