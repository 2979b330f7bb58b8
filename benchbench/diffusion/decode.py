"""Decodes latents to images."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchbench.diffusion.backbones import Backbone
from benchbench.runtime.memory import Splitter

MAX_IMAGES = (
    32  # at a time; from 64 on diffusers' upsampling copies its input, which takes a sixth of the decoder's time
)


class Decoder:
    """The decoder of the VAE: latents [N, C, h, w] to images [N, 3, H, W] in [0, 1]; in chunks, differentiable."""

    def __init__(self, backbone: Backbone) -> None:
        self.vae = backbone.vae
        self.splitter = Splitter("decoding", min(MAX_IMAGES, backbone.batch_size), row="image")

    def __call__(self, latents: Tensor) -> Tensor:
        """Returns the images of the latents. Raises NoMemoryError."""
        latents = latents.to(self.vae.dtype) / self.vae.config.scaling_factor
        if shift := getattr(self.vae.config, "shift_factor", None):
            latents = latents + shift
        images = self.splitter(lambda rows: self.vae.decode(latents[rows]).sample.float(), len(latents))
        return (images / 2 + 0.5).clamp(0, 1)


def quantise(images: Tensor) -> Tensor:
    """Rounds images in [0, 1] to multiples of 1/255, as saving does; the gradient passes straight through."""
    return images + ((images * 255).round() / 255 - images).detach()


def to_uint8(images: Tensor) -> np.ndarray:
    """Returns images [N, 3, H, W] in [0, 1] as uint8 [N, H, W, 3] on the CPU."""
    return (images.detach() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def to_pil(images: Tensor) -> list[Image.Image]:
    """Returns images [N, 3, H, W] in [0, 1] as N RGB images."""
    return [Image.fromarray(image) for image in to_uint8(images)]
