"""The built-in shapes world: drawings, captions, an oracle, a small latent diffusion model and its rewards.

Importing this package does not import torch.
"""

from pathlib import Path

from benchbench.defaults import SHAPES_WEIGHTS as WEIGHTS

__all__ = ["MODEL", "WEIGHTS"]
MODEL: Path = WEIGHTS / "model"
"""The folder of the text-to-image pipeline, in diffusers' format."""
