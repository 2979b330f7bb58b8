"""Images that an interrupted evaluation has drawn and stored are kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from benchbench.errors import NoMemoryError
from benchbench.evaluate.draw_missing import draw_missing
from benchbench.evaluate.evaluated_model import ImageGenerator
from benchbench.noise import Noise, Sample
from benchbench.runtime import cpu_threads
from benchbench.store.images import ImageStore
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
    two were being made, and those of the first batch where one follows the other.
    """
    monkeypatch.setattr(cpu_threads, "MIN_ROWS", 4)
    images, bar = ImageStore(tmp_path, GenerationKey("m", None, {}, "fp32", "p", "h", 0)), Bar()
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
        draw_missing(
            images, ITEMS, set(ITEMS), ImageGenerator(draw, threads), Noise(0, "eval"), size, bar, lambda _: None
        )
    assert len(list(images.folder.glob("*.webp"))) == 4 * threads and caught.tb


class Quiet:
    """Counts the steps of a progress bar."""

    steps = 0

    def advance(self, n: int = 1, note: str = "") -> None:
        self.steps += n


@pytest.mark.parametrize("threads", [1, 2])
def test_out_of_memory_makes_parts_smaller_on_threads_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """Two threads have four images each; where two fit, all eight are made, each once and with its own pixels."""
    monkeypatch.setattr(cpu_threads, "MIN_ROWS", 4)
    drawn, said = list[int](), list[str]()

    def draw(part: Sequence[Sample], noise: Noise) -> np.ndarray:
        if len(part) > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        drawn.extend(item.index for item in part)
        return np.stack([np.full((8, 8, 3), 30 * item.index, np.uint8) for item in part])

    for most in (2, 0):
        images, bar = ImageStore(tmp_path / str(most), GenerationKey("m", None, {}, "fp32", "p", "h", 0)), Quiet()
        images.begin({})
        arguments = (images, ITEMS, set(ITEMS), ImageGenerator(draw, threads), Noise(0, "eval"), 8, bar, said.append)
        if most == 0:
            with pytest.raises(NoMemoryError, match="out of memory making images, one image at a time"):
                draw_missing(*arguments)
            break
        assert draw_missing(*arguments) == 8 == bar.steps and sorted(drawn) == list(range(8))
        assert all(np.asarray(images.read(item))[0, 0, 0] == 30 * item.index for item in ITEMS)
        assert set(said) == {"out of memory making images: going on with 2 images at a time"}
