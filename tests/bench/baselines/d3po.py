"""D3PO as its released trainer does it: two trajectories in turn, and four forwards for each trained step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.bench.baselines.sampler import Model, ddim, decode, encode, pair_loss, predict, trajectory

STEPS = (20, 16, 12, 8, 4)


def iteration(model: Model, prompts: Sequence[str], reward: Callable[[Tensor, Sequence[str]], Tensor]) -> None:
    """Samples a pair of images for each prompt and takes one optimizer step."""
    start = torch.randn(len(prompts), *model.latent_shape, device=model.device)
    walks = [trajectory(model, encode(model, prompts), start) for _ in range(2)]
    with torch.no_grad():
        r = [reward(decode(model, latents[-1]), prompts) for latents, _, _ in walks]
    first_wins = (r[0] >= r[1]).view(-1, 1, 1, 1)
    times = walks[0][2]
    winner = [torch.where(first_wins, a, b) for a, b in zip(walks[0][0], walks[1][0], strict=True)]
    loser = [torch.where(first_wins, b, a) for a, b in zip(walks[0][0], walks[1][0], strict=True)]
    text = encode(model, prompts)
    for j in (model.steps - k for k in STEPS):
        theta, ref = [], []
        for side in (winner, loser):
            e = predict(model, model.unet, side[j], times[j], text)
            theta.append(ddim(model, e, times[j], side[j], side[j + 1])[1])
            with torch.no_grad():
                e = predict(model, model.ref, side[j], times[j], text)
                ref.append(ddim(model, e, times[j], side[j], side[j + 1])[1])
        (pair_loss(theta, ref, beta=0.1) / len(STEPS)).backward()
    model.learn()
