"""Draws batches that lack an image and stores what they lack: side by side on a CPU's threads, or one by one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from benchbench.errors import RunError
from benchbench.evaluate.subject import Drawing
from benchbench.noise import Noise, Sample
from benchbench.report.progress import Progress
from benchbench.store.files import Say
from benchbench.store.images import Images

if TYPE_CHECKING:
    import numpy as np

Draw = Callable[[Sequence[Sample]], "np.ndarray"]


def fill(
    images: Images,
    items: Sequence[Sample],
    missing: AbstractSet[Sample],
    drawing: Drawing,
    noise: Noise,
    batch_size: int,
    bar: Progress,
    say: Say,
) -> int:
    """How many images were drawn: of whole batches, at places that are the same whatever is missing.

    First images of all prompts come before second ones, so that asking for more a prompt moves no place. Memory holds
    what is being drawn and written, however many there are. Errors: RunError (disk full, too little memory).
    """
    order = sorted(items, key=lambda item: (item.number, item.index))

    def draw(part: Sequence[Sample]) -> np.ndarray:
        return drawing.draw(part, noise)

    if drawing.threads > 1:
        parts = _side_by_side(images, order, missing, draw, batch_size, drawing.threads)
    else:
        parts = _one_after_the_other(images, order, missing, draw, batch_size, say)
    drawn = 0
    with closing(parts):  # an interruption waits here for what is being written, under the folder's lock
        for part in parts:
            drawn += len(part)
            bar.advance(sum(item in missing for item in part))
    return drawn


def _side_by_side(
    images: Images, order: Sequence[Sample], missing: AbstractSet[Sample], draw: Draw, size: int, threads: int
) -> Generator[Sequence[Sample], None, None]:
    """Parts of batches, each written by the thread that drew it, since the other cores are drawing too."""
    from benchbench.diffusion.side_by_side import side_by_side

    def make(rows: slice) -> None:
        for item, pixels in zip(order[rows], draw(order[rows]), strict=True):
            if item in missing:
                images.write(item, pixels)

    batches = [slice(start, min(start + size, len(order))) for start in range(0, len(order), size)]
    lacking = [batch for batch in batches if not missing.isdisjoint(order[batch])]
    for rows, _ in side_by_side(make, lacking, threads):
        yield order[rows]


def _one_after_the_other(
    images: Images, order: Sequence[Sample], missing: AbstractSet[Sample], draw: Draw, size: int, say: Say
) -> Generator[Sequence[Sample], None, None]:
    """Batches; the images of one are encoded and written while the next is drawn."""
    with ThreadPoolExecutor() as pool:
        writing: list[Future[None]] = []
        for batch, pixels in _batches(order, missing, draw, size, say):
            _finish(writing)
            lacking = [(item, image) for item, image in zip(batch, pixels, strict=True) if item in missing]
            writing = [pool.submit(images.write, item, image) for item, image in lacking]
            yield batch
        _finish(writing)


def _finish(writing: Sequence[Future[None]]) -> None:
    for future in writing:
        future.result()


def _batches(
    order: Sequence[Sample], missing: AbstractSet[Sample], draw: Draw, size: int, say: Say
) -> Iterator[tuple[Sequence[Sample], np.ndarray]]:
    """Batches that lack an image; out of memory halves the size from there on."""
    import torch

    start = 0
    while start < len(order):
        batch = order[start : start + size]
        if missing.isdisjoint(batch):
            start += len(batch)
            continue
        try:
            pixels = draw(batch)
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                raise RunError(
                    "the device has too little memory for one image",
                    str(error).splitlines()[0],
                    "use another device, or --dtype bf16 or fp16",
                ) from error
            size = len(batch) // 2
        else:
            yield batch, pixels
            start += len(batch)
            continue
        # outside the handler: the exception's traceback would keep the failed batch's tensors alive
        torch.cuda.empty_cache()
        say(f"out of memory: going on with {size} images at a time")
