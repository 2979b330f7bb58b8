"""The embedded shapes world: drawings, captions, an exact oracle, a small latent diffusion model and its rewards.

Importing this package imports no torch.
"""

import os
from pathlib import Path

WEIGHTS: Path = Path(os.environ.get("BENCH_SHAPES_WEIGHTS") or Path(__file__).parent / "weights")
"""What a build made: model/, clip/, pref/, spm/, aesthetic.safetensors, record.json, samples.png."""
MODEL: Path = WEIGHTS / "model"
"""The text-to-image pipeline, a folder in diffusers' layout."""
