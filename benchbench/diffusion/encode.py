"""Encodes pictures to latents."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchbench.diffusion.backbones import Backbone


def encode(backbone: Backbone, pictures: Tensor, z: Tensor) -> Tensor:
    """Returns scaled latents, float32 [N, C, h, w], of pictures [N, 3, H, W] in [-1, 1].

    They are a draw from the VAE's posterior, mean + std z, as in diffusers' pipelines; z is standard normal, and zeros
    give the posterior's mode.
    """
    vae = backbone.vae
    posterior = vae.encode(pictures.to(backbone.device, vae.dtype)).latent_dist
    return scaled(vae, posterior.mean.float() + posterior.std.float() * z)


def scaled(vae: Any, latents: Tensor) -> Tensor:
    """Returns latents of the VAE as the network takes them: without the mean that SD 3's VAE has, and scaled."""
    if shift := getattr(vae.config, "shift_factor", None):
        latents = latents - shift
    found: Tensor = latents * vae.config.scaling_factor
    return found
