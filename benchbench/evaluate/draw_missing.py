"""Draws batches that lack an image and stores what they lack: side by side on a CPU's threads, or one by one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from benchbench.evaluate.row import ImageSampler
from benchbench.noise import Noise, Sample
from benchbench.runtime.files import Log
from benchbench.runtime.memory import Splitter
from benchbench.runtime.progress import Progress
from benchbench.store.images import ImageStore

if TYPE_CHECKING:
    import numpy as np

Draw = Callable[[slice], "np.ndarray"]


def fill(
    images: ImageStore,
    items: Sequence[Sample],
    missing: AbstractSet[Sample],
    drawing: ImageSampler,
    noise: Noise,
    batch_size: int,
    bar: Progress,
    log: Log,
) -> int:
    """How many images were drawn: of whole batches, at places that are the same whatever is missing.

    First images of all prompts come before second ones, so that asking for more a prompt moves no place. Memory holds
    what is being drawn and written, however many there are. Errors: RunError (disk full, too little memory).
    """
    order = sorted(items, key=lambda item: (item.number, item.index))

    fits = Splitter(
        "making images",
        batch_size,
        row="image",
        log=log,
        remedy="use another device, or --dtype bf16 or fp16 where it is fp32",
    )

    def draw(rows: slice) -> np.ndarray:
        return drawing.draw(order[rows], noise)

    if drawing.threads > 1:
        parts = _side_by_side(images, order, missing, draw, fits, batch_size, drawing.threads)
    else:
        parts = _one_after_the_other(images, order, missing, draw, fits)
    drawn = 0
    with closing(parts):  # an interruption waits here for what is being written, under the folder's lock
        for part in parts:
            drawn += len(part)
            bar.advance(sum(item in missing for item in part))
    return drawn


def _side_by_side(
    images: ImageStore,
    order: Sequence[Sample],
    missing: AbstractSet[Sample],
    draw: Draw,
    fits: Splitter,
    size: int,
    threads: int,
) -> Generator[Sequence[Sample], None, None]:
    """Parts of batches, each written by the thread that drew it, since the other cores are drawing too."""
    from benchbench.runtime.cpu_threads import side_by_side

    def make(rows: slice) -> None:
        for part, pixels in fits.parts(lambda some: draw(_within(rows, some)), rows.stop - rows.start):
            for item, image in zip(order[_within(rows, part)], pixels, strict=True):
                if item in missing:
                    images.write(item, image)

    batches = [slice(start, min(start + size, len(order))) for start in range(0, len(order), size)]
    lacking = [batch for batch in batches if not missing.isdisjoint(order[batch])]
    for rows, _ in side_by_side(make, lacking, threads):
        yield order[rows]


def _one_after_the_other(
    images: ImageStore, order: Sequence[Sample], missing: AbstractSet[Sample], draw: Draw, fits: Splitter
) -> Generator[Sequence[Sample], None, None]:
    """Batches; the images of one are encoded and written while the next is drawn."""

    def lacking_one(rows: slice) -> np.ndarray | None:
        return None if missing.isdisjoint(order[rows]) else draw(rows)

    with ThreadPoolExecutor() as pool:
        writing: list[Future[None]] = []
        for rows, pixels in fits.parts(lacking_one, len(order)):
            if pixels is None:
                continue
            _finish(writing)
            lacking = [(item, image) for item, image in zip(order[rows], pixels, strict=True) if item in missing]
            writing = [pool.submit(images.write, item, image) for item, image in lacking]
            yield order[rows]
        _finish(writing)


def _finish(writing: Sequence[Future[None]]) -> None:
    for future in writing:
        future.result()


def _within(rows: slice, part: slice) -> slice:
    """The place of a part of some rows among all of them."""
    return slice(rows.start + part.start, rows.start + part.stop)
