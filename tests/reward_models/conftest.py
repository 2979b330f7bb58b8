"""Small random checkpoints where the rewards look for theirs, and pictures to score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchbench.rewards import lookup
from tests.reward_models import checkpoints

LEARNED = ["aesthetic", "imagereward", "hpsv2.0", "hpsv2.1", "pickscore", "clip_h14", "clip_l14"]


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.write(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def weights(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """$BENCH_WEIGHTS with every reward's files; the known hashes, which random weights cannot have, are left out."""
    monkeypatch.setenv("BENCH_WEIGHTS", str(weights_folder))
    for name in LEARNED:
        cls = lookup.get(name)
        monkeypatch.setattr(cls, "assets", tuple(replace(asset, sha256={}) for asset in cls.assets))
    return weights_folder


def natural(seed: int, width: int, height: int) -> Image.Image:
    """Smooth with edges, as photographs are: a few soft waves, a disc and a bar, and a little sensor noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    out = np.zeros((height, width, 3))
    for channel in range(3):
        for _ in range(4):
            fx, fy, phase = [*rng.uniform(0.5, 5, 2).tolist(), rng.uniform(0, 6)]
            out[..., channel] += rng.uniform(10, 35) * np.sin(6.28 * (fx * x + fy * y) + phase)
    disc = (x - rng.uniform(0.2, 0.8)) ** 2 + (y - rng.uniform(0.2, 0.8)) ** 2 < rng.uniform(0.01, 0.05)
    out[disc] += rng.uniform(-60, 60, 3)
    out[int(height * 0.6) : int(height * 0.65)] += rng.uniform(-40, 40, 3)
    out += 128 + rng.normal(0, 2, out.shape)
    return Image.fromarray(out.round().clip(0, 255).astype(np.uint8))


def noisy(seed: int, width: int, height: int) -> Image.Image:
    """White noise of full range: the hardest picture for a resize."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


Picture = Callable[[int, int, int], Image.Image]
