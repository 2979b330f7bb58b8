"""Diversity: 1 - the mean cosine between the image features of two images of one prompt, by the evaluation CLIP.

0 where a model makes one image a prompt, whatever the seed. The CLIP is the embedded world's on shapes, ViT-H/14 of
LAION elsewhere. Kept by the hashes of the images, so that it is taken once.
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
from benchbench.runtime.files import Log
from benchbench.runtime.memory import Splitter
from benchbench.store.measurements import MeasurementParts
from benchbench.types import Reward

NAME = "diversity"
BATCH = 32


def diversity(
    generations: Sequence[Generation], clip: str | type[Reward], *, store: Path, device: str, log: Log
) -> pd.DataFrame:
    """A row a prompt with the columns of scores, ``reward`` being "diversity"; seeds are images like any others.

    Errors: UsageError for one image a prompt; those of ``lookup.require``.
    """
    kind: Any = lookup.as_class(clip)
    items = [(g, item) for g in generations for item in g.entries]
    prompts = {item.index: item.prompt for _, item in items}
    if len(items) < 2 * len(prompts):
        raise UsageError("one image a prompt has no diversity", "it is taken between images of one prompt", "make two")
    hashes = [[item.index, g.entries[item].sha256] for g, item in items]
    kept = MeasurementParts(store, NAME, {"schema": 1, "clip": [kind.name, kind.version], "images": hashes})

    def compute() -> Callable[[int, int], pd.DataFrame]:
        model = kind(device)

        def part(rows: slice) -> Tensor:
            found: Tensor = model.features([g.images.read(item) for g, item in items[rows]]).double().cpu()
            return found

        features = Splitter(f"in the features of {kind.name}", BATCH, row="image", log=log)(part, len(items))
        owner = torch.tensor([item.index for _, item in items])
        values = [apart(features[owner == index]) for index in prompts]

        def rows(_start: int, _stop: int) -> pd.DataFrame:
            named = {"prompt_index": list(prompts), "prompt": list(prompts.values()), "sample": 0}
            return pd.DataFrame({**named, "eval_seed": generations[0].seed, "score": values})

        return rows

    found = kept.collect(1, 1, compute, lambda: {"device": device}, f"diversity by {kind.name}", "models", log)
    return found.assign(reward=NAME, version=f"{kind.name} {kind.version}", unit="1 - cos")


def apart(features: Tensor) -> float:
    """1 - the mean cosine over the n (n - 1)/2 pairs of unit vectors [n, D]."""
    n = len(features)
    return float(1 - (features @ features.T).triu(1).sum() / (n * (n - 1) / 2))
