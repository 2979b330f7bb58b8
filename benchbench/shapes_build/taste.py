"""Defines the hidden taste of the world's annotators, a rule on pixels that no reward is given."""

import torch
from torch import Tensor
from torch.nn import functional as F

OPINION = 0.3
"""The standard deviation of an annotator's opinion around the rule."""


def rule(pixels: Tensor) -> Tensor:
    """Returns how much annotators like pictures [N, 3, 32, 32] in [0, 1] on average: [N], about 5 with a spread of 1.

    They like pure colours up to a point, an object that stands out from its surroundings, warm light and calm
    surfaces.
    """
    chroma = (pixels - pixels.mean(1, keepdim=True)).square().sum(1).sqrt().mean((1, 2))
    colour = pixels.flatten(2)
    spread = (colour - colour.mean(2, keepdim=True)).square().sum(1).mean(1).sqrt()
    warmth = (pixels[:, 0] - pixels[:, 2]).mean((1, 2))
    smooth = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    busy = (pixels - smooth).abs().mean((1, 2, 3))
    liking = 1.1 * torch.tanh((chroma - 0.40) / 0.2) + 1.0 * torch.tanh((spread - 0.28) / 0.12)
    return 5.0 + liking + 0.8 * torch.tanh(warmth / 0.4) - 0.7 * torch.tanh((busy - 0.014) / 0.01)


def opinions(pixels: Tensor) -> Tensor:
    """Returns one annotator's opinion of each picture, [N]."""
    liking = rule(pixels)
    return liking + OPINION * torch.randn_like(liking)
