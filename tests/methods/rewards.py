"""Simple rewards for tests of methods."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL.Image import Image

from benchbench.api import Reward, StepScorer


class Brightness(Reward):
    """The mean of all pixel values."""

    name, version, unit, range, differentiable, weights = "brightness", "1", "grey", (0.0, 1.0), True, "none"

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([float(np.asarray(image).mean() / 255) for image in images])

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        return images.flatten(1).mean(1)


class Ranked(Brightness):
    """A steep increasing function of brightness, which ranks images as Brightness does with other scores."""

    name = "ranked"

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        return (50 * images.flatten(1).mean(1).double()).exp().float()


class Tied(Brightness):
    """Gives every image the same score."""

    name = "tied"

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        return images.flatten(1).mean(1) * 0 + 1


class StepBrightness(Brightness, StepScorer):
    """Brightness times ten at a timestep; records the timesteps in ``told``."""

    name = "step-brightness"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        self.told: list[int] = []

    def score_at(self, images: torch.Tensor, prompts: Sequence[str], tau: torch.Tensor) -> torch.Tensor:
        self.told.append(int(tau))
        return 10 * self.score_differentiable(images, prompts)
