"""The network of the aesthetic scorer, which its training and the reward share."""

import torch
from torch import Tensor, nn


class AestheticNet(nn.Module):
    """A small convolutional network from pictures [N, 3, 32, 32] in [0, 1] to scores [N], usually between 2 and 8."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(32, 48, 3, stride=2, padding=1),
            nn.SiLU(),
        )
        # its input is means and deviations over all positions, so the score does not depend on where the object is
        self.head = nn.Sequential(nn.Linear(96, 48), nn.SiLU(), nn.Linear(48, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Returns scores [N] of pictures [N, 3, H, W] in [0, 1]."""
        features = self.body(2 * pixels - 1).flatten(2)
        mean = features.mean(2)
        spread = ((features - mean[..., None]).square().mean(2) + 1e-4).sqrt()
        scores: Tensor = 5.0 + self.head(torch.cat([mean, spread], dim=1))[:, 0]
        return scores
