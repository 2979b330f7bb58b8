"""Provides the fixtures of the diffusion tests to the tests of methods."""

from tests.diffusion.conftest import policy, tiny_sd, tuned

__all__ = ["policy", "tiny_sd", "tuned"]
