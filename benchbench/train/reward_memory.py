"""Estimates a reward's memory from its class alone, without loading its weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from benchbench.rewards import lookup, mix
from benchbench.rewards.http_address import is_served
from benchbench.rewards.mix_rule import is_mix
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
    "spm-sdxl": 1305,
}
"""Millions of weights by the reward's architecture: ViT-L/14's image tower has 305, both towers of ViT-H/14 986, ..."""
GRADIENT = 500  # megabytes of an image's activations where the class does not say, the default of NeuralReward
WITHOUT = 16  # without a gradient one of a tower's layers is in memory at a time, at most a sixteenth of all


@dataclass(frozen=True)
class RewardMemory:
    """Bytes of the weights, and of one image's activations with a gradient (``gradient``) and without (``plain``)."""

    weights: int
    gradient: int
    plain: int


def memory_of(name: str) -> RewardMemory:
    """Returns the memory of a reward or a mix by its name. What a server computes takes none here, and is not asked."""
    members = mix.weights(name) if is_mix(name) else (name,)
    parts = [reward_memory(lookup.get(member)) for member in members if not is_served(member)]
    return _sum(parts)


def reward_memory(reward_class: type[Reward]) -> RewardMemory:
    """Returns a reward's memory in fp32; an ensemble's is the sum of its members'.

    A reward with other weights of a known architecture is as large as that. The weights of a reward that ``PARAMETERS``
    does not know, such as a plug-in's, count as large as its files.
    """
    if issubclass(reward_class, mix.Ensemble):
        return _sum([reward_memory(member) for member in reward_class.reward_classes.values()])
    known = next((PARAMETERS[n] for base in reward_class.__mro__ if (n := vars(base).get("name")) in PARAMETERS), None)
    weights = 4_000_000 * known if known else sum(_bytes(asset.size) for asset in reward_class.assets)
    if not weights:
        return RewardMemory(0, 0, 0)
    gradient = 1_000_000 * getattr(reward_class, "megabytes", GRADIENT)
    return RewardMemory(weights, gradient, gradient // WITHOUT)


def _sum(parts: Sequence[RewardMemory]) -> RewardMemory:
    return RewardMemory(*(sum(getattr(part, f) for part in parts) for f in ("weights", "gradient", "plain")))


def _bytes(size: str) -> int:
    """Returns the bytes of a size such as "1.7 GB"; 0 for a text that is not a size."""
    match = re.match(r"([\d.]+) *(k|M|G)B", size)
    return int(float(match[1]) * {"k": 1e3, "M": 1e6, "G": 1e9}[match[2]]) if match else 0


class Ballast(StepScorer):
    """A reward that takes as much memory as a real one and scores nothing; for use within ``fake_cuda`` only."""

    name, version, unit, range, differentiable, weights = "ballast", "1", "x", (0.0, 1.0), True, "none"
    trainable: ClassVar[bool] = False

    def __init__(self, memory: RewardMemory) -> None:
        super().__init__("cuda")
        self.memory = memory
        self.network = torch.empty(memory.weights, dtype=torch.uint8, device="cuda")

    def score(self, images: object, prompts: Sequence[str]) -> Tensor:
        """Raises AssertionError, since the estimate runs on tensors."""
        raise AssertionError("the estimate calls the differentiable path only")

    def score_differentiable(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Returns scores [N] whose graph takes the reward's bytes: half in ``activations``, half in the product."""
        size = (self.memory.gradient if torch.is_grad_enabled() else self.memory.plain) // 8
        activations = torch.empty(len(images), size, device=images.device)
        return (images.flatten(1).mean(1, keepdim=True) * activations).sum(1)

    def score_at(self, images: Tensor, prompts: Sequence[str], tau: Tensor) -> Tensor:
        """Returns ``score_differentiable``, since the timestep takes no memory."""
        return self.score_differentiable(images, prompts)
