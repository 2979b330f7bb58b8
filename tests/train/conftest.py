"""Configures short runs of a tiny random checkpoint on a reward without weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.config import RunConfig, load
from tests.tiny import write_tiny_sd

SMALL = [
    "train.batch=8",
    "train.save_every=8",
    "train.eval_every=16",
    "train.eval_images=4",
    "train.lr=1e-3",
    "train.lora_rank=2",
    "train.lora_alpha=2",
]


@pytest.fixture(scope="session")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sd(tmp_path_factory.mktemp("tiny") / "sd")


@pytest.fixture
def configure(tiny_sd: Path):
    def make(method: str = "tailorpo", *overrides: str, reward: str = "shapes-colour", samples: int = 32) -> RunConfig:
        settings = [*SMALL, *(["method.minibatch=4"] if method in {"ddpo", "d3po"} else []), *overrides]
        return load(method, str(tiny_sd), reward, "animals", samples, 0, preset="shapes", overrides=settings)

    return make
