"""The points of a training at which it keeps its weights, known before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchbench.config import RunConfig
from benchbench.store import runs

CHECKPOINTS = 8
"""The number of times that a training which is searched or stopped in time keeps its weights."""


def every_checkpoint(samples: int) -> int:
    """Returns ``train.keep_every`` of a training of so many images that keeps its weights ``CHECKPOINTS`` times."""
    return max(1, samples // CHECKPOINTS)


def kept_at(config: RunConfig) -> Iterator[int]:
    """Yields the images after which a training keeps its weights: at the first rollout's end past each multiple."""
    group = config.method_class.images(config.method_config)
    rollout, every, samples = max(1, config.train.batch // group) * group, config.train.keep_every, 0
    while samples < config.samples:
        before, samples = samples, min(samples + rollout, config.samples)
        if before // every != samples // every:
            yield samples


def kept_folder(run: Path, samples: int) -> Path:
    """Returns the folder of a run's weights after so many images."""
    return run / runs.KEPT_FOLDER / f"{samples:08d}"
