"""The embedded shapes world: drawings, captions, an exact oracle, a small latent diffusion model and its rewards.

Importing this package imports no torch.
"""

from pathlib import Path

from benchbench.defaults import SHAPES_WEIGHTS as WEIGHTS

__all__ = ["MODEL", "WEIGHTS"]
MODEL: Path = WEIGHTS / "model"
"""The text-to-image pipeline, a folder in diffusers' layout."""
