"""Scores images in batches that fit the memory.

Imports torch only inside a function: the commands that list rewards must not load it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from benchbench import reward_calls
from benchbench.runtime.memory import Splitter
from benchbench.types import PreparedReward, Reward

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


class Score(Protocol):
    """Scores N images, or a tensor [N, ...] from ``PreparedReward.prepare``: finite float32 [N] on the CPU."""

    def __call__(
        self, images: Sequence[Image] | Tensor, prompts: Sequence[str], name: Callable[[int], str] | None = None
    ) -> Tensor:
        """Raises RunError, in which ``name`` describes the image of a row, and NoMemoryError."""


def scoring(reward: Reward, log: Callable[[str], Any] | None = None) -> Score:
    """Returns a function that scores images, and splits them where memory runs out.

    It raises RunError for whatever the reward raises, and for anything but a finite number for each image, and
    NoMemoryError where one image alone does not fit.
    """
    fits = Splitter(f"in the reward {reward.name}", row="image", log=log)

    def score(
        images: Sequence[Image] | Tensor, prompts: Sequence[str], name: Callable[[int], str] | None = None
    ) -> Tensor:
        scores = fits(lambda rows: _scores(reward, images[rows], prompts[rows]), len(images))
        reward_calls.require_finite(reward, scores, name or (lambda row: f"the prompt {prompts[row]!r}"))
        return scores

    return score


def at_a_time(reward: Reward, images: int) -> int:
    """Returns the size of a batch, whose scores are kept together: ``images``, or what the reward takes at once."""
    return min(images, reward.max_batch or images)


def _scores(reward: Reward, images: Sequence[Image] | Tensor, prompts: Sequence[str]) -> Tensor:
    """Returns scores, float32 [N] on the CPU, of N images or of a tensor from ``PreparedReward.prepare``."""
    import torch

    if isinstance(reward, PreparedReward) and isinstance(images, torch.Tensor):
        return reward_calls.score_prepared(reward, images, prompts)
    return reward_calls.score(reward, cast("Sequence[Image]", images), prompts)
