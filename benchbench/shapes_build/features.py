"""Stage: trains a small convolutional network that names the attributes of pictures.

Its features give the autoencoder a perceptual distance, as LPIPS does for Stable Diffusion's autoencoder
(arXiv:2112.10752), and the text tower its image side. It is not shipped.
"""

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from benchbench.shapes.attributes import ATTRIBUTES, VALUES
from benchbench.shapes_build.data import batches, degrade, pool, schedule
from benchbench.shapes_build.stage import Facts, Stage


class Features(nn.Module):
    """A convolutional network with three levels of features, a 128-number summary and a linear head an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU()),
                nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()),
                nn.Sequential(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, 2, 1), nn.ReLU()),
            ]
        )
        self.summary = nn.Sequential(nn.Conv2d(64, 96, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(96 * 16, 128))
        self.heads = nn.ModuleList([nn.Linear(128, len(VALUES[name])) for name in ATTRIBUTES])

    def levels(self, pixels: Tensor) -> list[Tensor]:
        """Returns features of pictures [N, 3, 32, 32] in [0, 1] at 32, 16 and 8 pixels a side."""
        x, levels = 2 * pixels - 1, []
        for block in self.blocks:
            x = block(x)
            levels.append(x)
        return levels

    def summarise(self, pixels: Tensor) -> Tensor:
        """Returns the summary [N, 128] of pictures [N, 3, 32, 32] in [0, 1]."""
        summary: Tensor = self.summary(self.levels(pixels)[-1])
        return summary

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Returns logits [N, values] for each attribute."""
        summary = F.relu(self.summarise(pixels))
        return [head(summary) for head in self.heads]

    def distance(self, pixels: Tensor, target: Tensor) -> Tensor:
        """Returns the mean squared difference of channel-normalised features, summed over levels; a scalar."""
        with torch.no_grad():
            target_levels = self.levels(target)
        levels = zip(self.levels(pixels), target_levels, strict=True)
        gaps = [F.normalize(a, dim=1) - F.normalize(b, dim=1) for a, b in levels]
        return torch.stack([gap.square().sum(1).mean() for gap in gaps]).sum()


def attribute_loss(logits: list[Tensor], labels: Tensor) -> Tensor:
    """Returns the mean cross-entropy over the attributes, a scalar; labels are [N, 5]."""
    return torch.stack([F.cross_entropy(part, labels[:, i]) for i, part in enumerate(logits)]).mean()


def load(stage: Stage) -> Features:
    """Returns the trained network, frozen."""
    net = Features()
    net.load_state_dict(load_file(stage.of("features") / "features.safetensors"))
    return net.requires_grad_(False).eval()


def run(stage: Stage) -> Facts:
    """Trains on drawings, some of them blurred or noisy; returns the facts for the record."""
    data = pool(stage.scale(16000, 1000), stage.seed)
    held_out = pool(500, stage.seed + 1)
    net, steps = Features(), stage.scale(2500, 40)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
    rate_schedule = schedule(optimizer, steps)
    for step, index in enumerate(batches(len(data.scenes), 64, steps), 1):
        loss = attribute_loss(net(degrade(data.pixels(index))), data.labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate_schedule.step()
        stage.report_step(step, steps, loss=loss.item())
    with torch.no_grad():
        logits = net(held_out.images.float() / 255)
    guesses = torch.stack([part.argmax(1) for part in logits], dim=1)
    accuracy = dict(zip(ATTRIBUTES, (guesses == held_out.labels).float().mean(0).tolist(), strict=True))
    save_file(net.state_dict(), stage.folder / "features.safetensors")
    return {"steps": steps, "loss": loss.item(), "held_out_accuracy": accuracy}
