"""Scores images in batches that fit the memory.

Imports torch only inside a function: the commands that list rewards must not load it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from benchbench.runtime.memory import Splitter
from benchbench.types import PreparedReward, Reward

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

Score = Callable[["Sequence[Image] | Tensor", Sequence[str]], "Tensor"]


def scoring(reward: Reward, log: Callable[[str], Any] | None = None) -> Score:
    """Returns a function that scores N images, float32 [N] on the CPU, and splits them where memory runs out.

    It takes images, or a tensor [N, ...] from ``PreparedReward.prepare``. It raises NoMemoryError where one image alone
    does not fit.
    """
    fits = Splitter(f"in the reward {reward.name}", row="image", log=log)

    def score(images: Sequence[Image] | Tensor, prompts: Sequence[str]) -> Tensor:
        return fits(lambda rows: _scores(reward, images[rows], prompts[rows]), len(images))

    return score


def _scores(reward: Reward, images: Sequence[Image] | Tensor, prompts: Sequence[str]) -> Tensor:
    """Returns scores, float32 [N] on the CPU, of N images or of a tensor from ``PreparedReward.prepare``."""
    import torch

    if isinstance(reward, PreparedReward) and isinstance(images, torch.Tensor):
        return reward.score_prepared(images, prompts)
    return reward.score(cast("Sequence[Image]", images), prompts)
