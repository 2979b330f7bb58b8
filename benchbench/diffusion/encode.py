"""Encodes pictures to latents."""

from __future__ import annotations

from torch import Tensor

from benchbench.diffusion.backbones import Backbone


def encode(backbone: Backbone, pictures: Tensor, z: Tensor) -> Tensor:
    """Returns scaled latents, float32 [N, C, h, w], of pictures [N, 3, H, W] in [-1, 1].

    They are a draw from the VAE's posterior, mean + std z, as in diffusers' pipelines; z is standard normal, and zeros
    give the posterior's mode.
    """
    vae = backbone.vae
    posterior = vae.encode(pictures.to(backbone.device, vae.dtype)).latent_dist
    latents: Tensor = (posterior.mean.float() + posterior.std.float() * z) * vae.config.scaling_factor
    return latents
