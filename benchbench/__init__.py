"""benchbench: a benchmark suite for aligning text-to-image diffusion models with preferences."""

__version__ = "0.1.0"
