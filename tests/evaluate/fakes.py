"""A generator and a reward small enough to see through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL.Image import Image

from benchbench.api import PromptSet, Reward
from benchbench.evaluate.evaluated_model import EvaluatedModel, ImageGenerator
from benchbench.noise import Noise, Sample

PROMPTS = PromptSet("fake", ("a cat", "a dog", "a cat"), "made here", "none")


def picture(sample: Sample, noise: Noise) -> np.ndarray:
    """Returns a picture uint8 [8, 8, 3] that depends on the sample and the seed alone."""
    rng = np.random.default_rng(noise.integer(2**31, *sample))
    return rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)


class Generator:
    """Draws pictures and records which ones, and how many at a time; ``opened`` counts the loads."""

    def __init__(self, threads: int = 1) -> None:
        self.threads, self.opened, self.chunks = threads, 0, list[list[Sample]]()

    def evaluated_model(self, label: str = "base") -> EvaluatedModel:
        return EvaluatedModel(label, "model", None, self.open)

    def open(self) -> ImageGenerator:
        self.opened += 1
        return ImageGenerator(self.draw, self.threads)

    def draw(self, samples: Sequence[Sample], noise: Noise) -> np.ndarray:
        self.chunks.append(list(samples))
        return np.stack([picture(sample, noise) for sample in samples])

    @property
    def made(self) -> int:
        return sum(map(len, self.chunks))


class Mean(Reward):
    """Scores the mean of the pixels; counts how often it was loaded and what it was shown."""

    name, version, unit, range, differentiable, weights = "mean", "1", "grey levels", (0.0, 255.0), False, "none"
    loads = 0
    shown: list[str] = []

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        type(self).loads += 1

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> torch.Tensor:
        self.shown.extend(prompts)
        return torch.tensor([np.asarray(image).mean() for image in images], dtype=torch.float32)
