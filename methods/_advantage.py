"""Advantages from rewards: z-scores among a prompt's recent rewards, or within the batch."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Any


def batch_advantages(rewards: Sequence[float]) -> list[float]:
    """Returns the rewards minus their mean, divided by their population standard deviation + 1e-8."""
    mean, std = fmean(rewards), pstdev(rewards)
    return [(r - mean) / (std + 1e-8) for r in rewards]


class PromptStats:
    """The recent rewards of each prompt; it computes what stat_tracking.py of ddpo-pytorch computes.

    New rewards are added before statistics are taken. A prompt with fewer than ``min_count`` rewards uses mean and
    deviation of the current batch. The deviation is the population's, plus 1e-6.
    """

    def __init__(self) -> None:
        self.rewards: dict[str, list[float]] = {}

    def advantages(self, prompts: Sequence[str], rewards: Sequence[float], buffer: int, min_count: int) -> list[float]:
        """Adds the rewards [N] of the prompts [N] and returns their advantages [N]."""
        for prompt, r in zip(prompts, rewards, strict=True):
            self.rewards[prompt] = [*self.rewards.get(prompt, []), r][-buffer:]
        batch = fmean(rewards), pstdev(rewards)
        advantages = []
        for prompt, r in zip(prompts, rewards, strict=True):
            recent = self.rewards[prompt]
            mean, std = batch if len(recent) < min_count else (fmean(recent), pstdev(recent))
            advantages.append((r - mean) / (std + 1e-6))
        return advantages

    def state(self) -> dict[str, Any]:
        """Returns the recent rewards as a JSON-able dict."""
        return {"rewards": self.rewards}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores the rewards that ``state`` returned."""
        self.rewards = {prompt: list(values) for prompt, values in state["rewards"].items()}


def group_advantages(rewards: Sequence[float], group: int, own_deviation: bool) -> list[float]:
    """Returns the rewards minus the mean of their group of ``group``, divided by a population deviation + 1e-4.

    The deviation is the group's own, or that of all rewards. 1e-4 is Flow-GRPO's.
    """
    groups = [rewards[i : i + group] for i in range(0, len(rewards), group)]
    everywhere = pstdev(rewards)
    return [
        (r - fmean(of_one)) / ((pstdev(of_one) if own_deviation else everywhere) + 1e-4)
        for of_one in groups
        for r in of_one
    ]
