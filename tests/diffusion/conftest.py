"""A policy of a tiny random checkpoint whose adapter has been moved, so that it differs from its reference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchbench.diffusion import backbones
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import Policy, make_policy
from tests.reward_models.conftest import weights, weights_folder
from tests.tiny import write_tiny_sd
from tests.train.conftest import configure

__all__ = ["configure", "weights", "weights_folder"]


@pytest.fixture(scope="session")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sd(tmp_path_factory.mktemp("tiny") / "sd")


@pytest.fixture
def policy(tiny_sd: Path) -> Policy:
    return make_policy(backbones.load(str(tiny_sd), "cpu"), 20, 1.0, 5.0)


@pytest.fixture
def tuned(policy: Policy) -> Policy:
    add_lora(policy.backbone.network, 4, 4.0, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return policy
