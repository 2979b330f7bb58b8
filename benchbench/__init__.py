"""benchbench: a benchmark suite for aligning text-to-image diffusion models with preferences."""

from benchbench.version import __version__

__all__ = ["__version__"]
