"""What is drawn and stored where the run is interrupted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from benchbench.diffusion import side_by_side
from benchbench.evaluate.fill import fill
from benchbench.evaluate.subject import Drawing
from benchbench.noise import Noise, Sample
from benchbench.store.images import Images
from benchbench.store.keys import GenerationKey

ITEMS = [Sample("a cat", 0, i) for i in range(8)]


class Bar:
    """Is interrupted at its first step, as by Ctrl-C."""

    def __init__(self) -> None:
        self.interrupted = Event()

    def advance(self, n: int = 1, note: str = "") -> None:
        self.interrupted.set()
        raise KeyboardInterrupt


@pytest.mark.parametrize(("threads", "size"), [(1, 4), (2, 8)])
def test_an_interruption_waits_for_what_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, size: int
) -> None:
    """On return nothing writes any more, since the folder's lock is let go: the images of both parts are there where
    two were being made, and those of the first batch where one follows the other."""
    monkeypatch.setattr(side_by_side, "FEWEST", 4)
    images, bar = Images(tmp_path, GenerationKey("m", None, {}, "fp32", "p", "h", 0)), Bar()
    images.begin({})
    write = images.write

    def draw(part: Sequence[Sample], noise: Noise) -> np.ndarray:
        if part[0].index == 4:
            assert bar.interrupted.wait(60)
        return np.zeros((len(part), 8, 8, 3), np.uint8)

    def slow(item: Sample, pixels: np.ndarray) -> None:
        time.sleep(0.05)
        write(item, pixels)

    monkeypatch.setattr(images, "write", slow)
    with pytest.raises(KeyboardInterrupt) as caught:
        fill(images, ITEMS, set(ITEMS), Drawing(draw, threads), Noise(0, "eval"), size, bar, lambda _: None)
    assert len(list(images.folder.glob("*.webp"))) == 4 * threads and caught.tb
