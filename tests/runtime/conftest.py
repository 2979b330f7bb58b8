"""Models of the diffusion core's and of the training's tests, and memory that is too small on purpose."""

from tests.diffusion.conftest import policy, tuned
from tests.train.conftest import configure, tiny_sd

__all__ = ["configure", "policy", "tiny_sd", "tuned"]
