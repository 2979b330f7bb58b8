"""Draws scenes as tensors, with labels and captions, and provides batches and a learning rate schedule."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchbench.shapes.attributes import ATTRIBUTES, VALUES
from benchbench.shapes.captions import describe
from benchbench.shapes.drawing import Scene, draw_many


@dataclass(frozen=True)
class Pool:
    """N scenes with their pictures and labels."""

    scenes: list[Scene]
    images: Tensor
    """[N, 3, 32, 32] uint8."""
    labels: Tensor
    """[N, 5]: the index of each attribute's value, in the order of `ATTRIBUTES`."""

    def pixels(self, index: Tensor) -> Tensor:
        """Returns the pictures at `index` [B], float [B, 3, 32, 32] in [0, 1]."""
        return self.images[index].float() / 255


def labels_of(scenes: list[Scene]) -> Tensor:
    """Returns [N, 5]: the index of each attribute's value, in the order of `ATTRIBUTES`."""
    return torch.tensor([[VALUES[name].index(getattr(scene, name)) for name in ATTRIBUTES] for scene in scenes])


def to_tensor(images: np.ndarray) -> Tensor:
    """Converts uint8 [N, 32, 32, 3] to uint8 [N, 3, 32, 32]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def to_uint8(pixels: Tensor) -> np.ndarray:
    """Converts float [N, 3, 32, 32] in [0, 1] to uint8 [N, 32, 32, 3]."""
    return (pixels.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def pool(count: int, seed: int) -> Pool:
    """Returns `count` random scenes with their pictures and labels."""
    scenes, images = draw_many(count, seed)
    return Pool(scenes, to_tensor(images), labels_of(scenes))


def captions_of(scenes: list[Scene], seed: int) -> list[str]:
    """Returns one caption a scene."""
    rng = np.random.default_rng(seed)
    return [describe(scene, rng) for scene in scenes]


def degrade(pixels: Tensor, share: float = 0.5) -> Tensor:
    """Returns pictures [N, 3, 32, 32], each blurred with probability `share` / 2, and independently noised as often."""
    n = len(pixels)
    blurred = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    strength = torch.rand(n, 1, 1, 1) * (torch.rand(n, 1, 1, 1) < share / 2)
    pixels = pixels + strength * (blurred - pixels)
    noise = 0.06 * torch.rand(n, 1, 1, 1) * (torch.rand(n, 1, 1, 1) < share / 2)
    return (pixels + noise * torch.randn_like(pixels)).clamp(0, 1)


def batches(count: int, size: int, steps: int) -> list[Tensor]:
    """Returns the indices of `steps` batches that go through `count` items in one random order after another."""
    epochs = -(-steps * size // count)
    order = torch.cat([torch.randperm(count) for _ in range(epochs)])
    return list(order[: steps * size].view(steps, size))


def schedule(optimizer: torch.optim.Optimizer, steps: int, warm_up: int = 100) -> torch.optim.lr_scheduler.LambdaLR:
    """Returns a schedule that rises linearly, stays, and falls linearly to 2 % over the last 60 % of the steps."""

    def factor(step: int) -> float:
        return min((step + 1) / warm_up, 1.0) * min(1.0, max(0.02, (steps - step) / (0.6 * steps)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
