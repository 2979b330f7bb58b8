"""Small policies and runs."""

from tests.train.conftest import configure, tiny_sd

__all__ = ["configure", "tiny_sd"]
