"""DDPO as its released trainer does it: keep the trajectory, then do a forward and a backward for each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.bench.baselines.sampler import Model, ddim, decode, encode, predict, trajectory

STEPS = (20, 16, 12, 8, 4)


def iteration(model: Model, prompts: Sequence[str], reward: Callable[[Tensor, Sequence[str]], Tensor]) -> None:
    """Runs one rollout and takes one optimizer step."""
    text = encode(model, prompts)
    latents, log_probs, times = trajectory(
        model, text, torch.randn(len(prompts), *model.latent_shape, device=model.device)
    )
    with torch.no_grad():
        r = reward(decode(model, latents[-1]), prompts)
    advantage = ((r - r.mean()) / (r.std() + 1e-6)).clamp(-5, 5)
    text = encode(model, prompts)
    for j in (model.steps - k for k in STEPS):
        e = predict(model, model.unet, latents[j], times[j], text)
        _, log_prob, _ = ddim(model, e, times[j], latents[j], latents[j + 1])
        ratio = torch.exp(log_prob - log_probs[j])
        loss = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - 1e-4, 1 + 1e-4)).mean()
        (loss / len(STEPS)).backward()
    model.learn()
