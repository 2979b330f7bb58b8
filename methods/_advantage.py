"""Rewards to advantages: z-scores over a prompt's recent rewards, or over the batch."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Any


def whole_batch(rewards: Sequence[float]) -> list[float]:
    """Rewards less their mean, over their population standard deviation + 1e-8."""
    mean, std = fmean(rewards), pstdev(rewards)
    return [(r - mean) / (std + 1e-8) for r in rewards]


class PromptStats:
    """The last rewards of each prompt. Released in ddpo-pytorch as stat_tracking.py; the facts are the same here.

    New rewards are added before statistics are taken. A prompt with fewer than ``min_count`` rewards borrows the mean
    and deviation of the current batch. The deviation is the population's, plus 1e-6.
    """

    def __init__(self) -> None:
        self.rewards: dict[str, list[float]] = {}

    def advantages(self, prompts: Sequence[str], rewards: Sequence[float], buffer: int, min_count: int) -> list[float]:
        """Adds the rewards [N] of the prompts [N] and returns their advantages [N]."""
        for prompt, r in zip(prompts, rewards, strict=True):
            self.rewards[prompt] = [*self.rewards.get(prompt, []), r][-buffer:]
        batch = fmean(rewards), pstdev(rewards)
        out = []
        for prompt, r in zip(prompts, rewards, strict=True):
            own = self.rewards[prompt]
            mean, std = batch if len(own) < min_count else (fmean(own), pstdev(own))
            out.append((r - mean) / (std + 1e-6))
        return out

    def state(self) -> dict[str, Any]:
        """The kept rewards, JSON-able."""
        return {"rewards": self.rewards}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``state`` gave."""
        self.rewards = {prompt: list(values) for prompt, values in state["rewards"].items()}
