"""Small random weights of the rewards."""

from tests.reward_models.conftest import weights, weights_folder

__all__ = ["weights", "weights_folder"]
