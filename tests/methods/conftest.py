"""The policies of the diffusion core's tests."""

from tests.diffusion.conftest import policy, tiny_sd, tuned

__all__ = ["policy", "tiny_sd", "tuned"]
