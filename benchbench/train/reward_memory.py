"""Estimates a reward's memory from what its class says, without its weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from benchbench.rewards import mix
from benchbench.types import Reward, StepScorer

PARAMETERS = {
    "aesthetic": 305,
    "clip_l14": 428,
    "imagereward": 447,
    "clip_h14": 986,
    "pickscore": 986,
    "hpsv2.0": 986,
    "hpsv2.1": 986,
    "spm": 1305,
}
"""Millions of weights, by the architecture: 305 of ViT-L/14's image tower, 986 of both towers of ViT-H/14, ..."""
GRADIENT = 500  # megabytes of an image's activations in a network that does not say, as NeuralReward has it
WITHOUT = 16  # without a gradient, what one of a tower's layers holds is all there is: a sixteenth at most


@dataclass(frozen=True)
class RewardMemory:
    """Bytes that stay, and bytes of one image's activations with and without a gradient."""

    weights: int
    gradient: int
    plain: int


def reward_memory(kind: type[Reward]) -> RewardMemory:
    """Returns a reward's memory in fp32, for an ensemble its members' sum. A plug-in's weights count as its files."""
    if issubclass(kind, mix.Ensemble):
        members = [reward_memory(member) for member in kind.reward_classes.values()]
        return RewardMemory(*(sum(getattr(m, f) for m in members) for f in ("weights", "gradient", "plain")))
    weights = 4_000_000 * PARAMETERS[kind.name] if kind.name in PARAMETERS else sum(_size(a.size) for a in kind.assets)
    if not weights:
        return RewardMemory(0, 0, 0)
    gradient = 1_000_000 * getattr(kind, "megabytes", GRADIENT)
    return RewardMemory(weights, gradient, gradient // WITHOUT)


def _size(text: str) -> int:
    """Bytes of a size that is written for people, such as ``1.7 GB``; 0 where it is none."""
    found = re.match(r"([\d.]+) *(k|M|G)B", text)
    return int(float(found[1]) * {"k": 1e3, "M": 1e6, "G": 1e9}[found[2]]) if found else 0


class Ballast(StepScorer):
    """A reward that takes as much memory as another one and judges nothing; within ``fake_cuda`` only."""

    name, version, unit, range, differentiable, weights = "ballast", "1", "x", (0.0, 1.0), True, "none"
    trainable: ClassVar[bool] = False

    def __init__(self, memory: RewardMemory) -> None:
        super().__init__("cuda")
        self.memory = memory
        self.network = torch.empty(memory.weights, dtype=torch.uint8, device="cuda")

    def score(self, images: object, prompts: Sequence[str]) -> Tensor:
        raise AssertionError("only the differentiable path is on the device")

    def score_differentiable(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Half of the bytes are what the backward pass reads, the other half what it is multiplied into."""
        size = (self.memory.gradient if torch.is_grad_enabled() else self.memory.plain) // 8
        activations = torch.empty(len(images), size, device=images.device)
        return (images.flatten(1).mean(1, keepdim=True) * activations).sum(1)

    def score_at(self, images: Tensor, prompts: Sequence[str], tau: Tensor) -> Tensor:
        return self.score_differentiable(images, prompts)
