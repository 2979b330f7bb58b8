"""Random weights at real size: the loading that replaces ``backbones.load`` on a card."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.diffusion import backbones
from tests.bench import random_models
from tests.gpu import models
from tests.tiny import write_tiny_sd


def test_random_weights_make_the_same_backbone_as_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the weights comes from the folder, as in ``backbones.load``."""
    folder = str(write_tiny_sd(tmp_path / "sd"))
    expected = backbones.load(folder, "cpu")
    networks = {"unet": expected.network, "vae": expected.vae, "text_encoder": expected.text_encoder}
    monkeypatch.setattr(random_models, "networks", lambda model: networks)
    backbone = models.load(folder, "cpu")
    assert backbone.scheduler_config == expected.scheduler_config
    assert (backbone.dtype, backbone.image_size, backbone.batch_size) == (
        "fp32",
        expected.image_size,
        expected.batch_size,
    )
    assert backbone.latent_shape == expected.latent_shape and backbone.network is expected.network
