"""Stage: encodes drawings, so that the denoiser's training does not run the autoencoder."""

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor

from benchbench.shapes_build import vae
from benchbench.shapes_build.data import pool
from benchbench.shapes_build.stage import Facts, Stage


@torch.no_grad()
def encode(autoencoder: AutoencoderKL, images: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and standard deviation of the latents of drawings, times the scaling factor: [N, 4, 8, 8] each."""
    means, deviations = [], []
    for part in images.split(250):
        posterior = autoencoder.encode(part.float() / 127.5 - 1).latent_dist
        means.append(posterior.mean * autoencoder.config.scaling_factor)
        deviations.append(posterior.std * autoencoder.config.scaling_factor)
    return torch.cat(means).contiguous(), torch.cat(deviations).contiguous()


def run(stage: Stage) -> Facts:
    """Writes the mean and standard deviation of each drawing's latents, times the scaling factor."""
    autoencoder = vae.load(stage)
    data = pool(stage.scale(30000, 600), stage.seed)
    mean, deviation = encode(autoencoder, data.images)
    save_file({"mean": mean, "deviation": deviation}, stage.folder / "latents.safetensors")
    return {"count": len(mean), "pool_seed": stage.seed, "sd": mean.std().item(), "noise_sd": deviation.mean().item()}
