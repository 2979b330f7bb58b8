"""Stage: the drawings as latents, so that the denoiser's training never runs the autoencoder."""

import torch
from safetensors.torch import save_file

from . import vae
from .data import pool
from .stage import Facts, Stage


@torch.no_grad()
def run(stage: Stage) -> Facts:
    """Writes the mean and standard deviation of each drawing's latents, in units of the noise schedule."""
    coder = vae.load(stage)
    data = pool(stage.scale(30000, 600), stage.seed)
    means, deviations = [], []
    for part in data.images.split(250):
        posterior = coder.encode(part.float() / 127.5 - 1).latent_dist
        means.append(posterior.mean * coder.config.scaling_factor)
        deviations.append(posterior.std * coder.config.scaling_factor)
    mean, deviation = torch.cat(means).contiguous(), torch.cat(deviations).contiguous()
    save_file({"mean": mean, "deviation": deviation}, stage.folder / "latents.safetensors")
    return {"count": len(mean), "pool_seed": stage.seed, "sd": mean.std().item(), "noise_sd": deviation.mean().item()}
