"""The gain of a training that is stopped in time, at the checkpoint that validation prompts choose for a bearable loss.

A loss is the fall of a guard, a reward that nobody trains on, such as the share of the prompt that the oracle finds.
F(.2) is the mean, over losses delta of 0, .02, ..., .2, of the gain at the checkpoint with the most reward among those
whose guard fell by at most delta. Checkpoints are chosen on validation prompts, and the gain is read on test prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

LOSSES = tuple(step / 50 for step in range(11))
"""The losses that F(.2) is a mean over: 0, .02, ..., .2."""
START = 0
"""The checkpoint of a training that has seen no image, which is the base model."""
IMAGE = ["prompt_index", "sample", "eval_seed"]


class Validated(NamedTuple):
    """A checkpoint on validation prompts: its gain over the base model, and how far the guard fell."""

    gain: float
    loss: float


def choose(checkpoints: Mapping[int, Validated], losses: Sequence[float] = LOSSES) -> list[int]:
    """Returns the checkpoint for each loss, by the number of images that it has seen.

    The base model is always among them, with no gain and no loss; of equal gains, the earlier one counts.
    """
    candidates = {START: Validated(0.0, 0.0)} | dict(sorted(checkpoints.items()))
    return [
        max((seen for seen, found in candidates.items() if found.loss <= most), key=lambda seen: candidates[seen].gain)
        for most in losses
    ]


def frontier(frames: Mapping[int, pd.DataFrame], chosen: Sequence[int]) -> pd.DataFrame:
    """Returns scores of one training whose mean is F: each image's, averaged over the chosen checkpoints.

    ``frames`` has the score rows of the checkpoints on test prompts, that of the base model among them, under one
    reward. A checkpoint that several losses chose counts as often. Errors: ValueError where checkpoints were not
    sampled alike.
    """
    first = frames[chosen[0]].sort_values(IMAGE, ignore_index=True)
    total = 0.0
    for seen in chosen:
        frame = frames[seen].sort_values(IMAGE, ignore_index=True)
        if not frame[IMAGE].equals(first[IMAGE]):
            raise ValueError("the checkpoints were not sampled alike")
        total = total + frame.score
    return first.assign(score=total / len(chosen))
