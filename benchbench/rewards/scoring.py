"""Rewards whose images may be too many for the memory."""

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
    """Scores float32 [N] on the CPU of N images, in parts where there are too many for the memory.

    The images may be what a PreparedReward has prepared of them, a tensor [N, ...]. The function raises NoMemoryError.
    """
    fits = Splitter(f"in the reward {reward.name}", row="image", log=log)

    def score(images: Sequence[Image] | Tensor, prompts: Sequence[str]) -> Tensor:
        return fits(lambda rows: _scores(reward, images[rows], prompts[rows]), len(images))

    return score


def _scores(reward: Reward, images: Sequence[Image] | Tensor, prompts: Sequence[str]) -> Tensor:
    """Scores float32 [N] on the CPU of N images, or of what a PreparedReward has prepared of them."""
    import torch

    if isinstance(reward, PreparedReward) and isinstance(images, torch.Tensor):
        return reward.score_prepared(images, prompts)
    return reward.score(cast("Sequence[Image]", images), prompts)
