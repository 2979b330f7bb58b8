"""Generates and stores missing images, batch by batch: in several CPU threads, or one batch after the other.

Imports torch only inside functions: wrong names on the command line must be reported before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from benchbench.evaluate.evaluated_model import ImageGenerator
from benchbench.noise import Noise, Sample
from benchbench.runtime.files import Log
from benchbench.runtime.garbage import no_collection
from benchbench.runtime.memory import Splitter
from benchbench.runtime.progress import Progress
from benchbench.store.images import ImageStore

if TYPE_CHECKING:
    import numpy as np

Draw = Callable[[slice], "np.ndarray"]


def all_samples(prompts: Sequence[str], images_per_prompt: int) -> list[Sample]:
    """Returns the samples of an evaluation, in the order of prompts and sample numbers."""
    with no_collection():
        return [Sample(text, n, i) for i, text in enumerate(prompts) for n in range(images_per_prompt)]


def drawing_order(samples: Sequence[Sample]) -> list[Sample]:
    """Returns the samples in the order in which batches are cut: sample 0 of all prompts comes before sample 1."""
    return sorted(samples, key=lambda sample: (sample.number, sample.index))


def draw_missing(
    images: ImageStore,
    samples: Sequence[Sample],
    missing: AbstractSet[Sample],
    generator: ImageGenerator,
    noise: Noise,
    batch_size: int,
    bar: Progress,
    log: Log,
) -> int:
    """Returns the number of images generated. Batch boundaries do not depend on which images are missing.

    A batch that lacks an image is generated whole, and only its missing images are stored. More images per prompt do
    not move batch boundaries either. Memory holds only the batches
    that are being generated or written. Raises RunError (disk full, too little memory).
    """
    order = drawing_order(samples)

    splitter = Splitter(
        "making images",
        batch_size,
        row="image",
        log=log,
        remedy="use another device, or --dtype bf16 or fp16 where it is fp32",
    )

    def draw(rows: slice) -> np.ndarray:
        return generator.generate(order[rows], noise)

    if generator.threads > 1:
        parts = _in_threads(images, order, missing, draw, splitter, batch_size, generator.threads)
    else:
        parts = _one_by_one(images, order, missing, draw, splitter)
    drawn = 0
    with closing(parts):  # if interrupted, waits for images that are being written, while the folder is still locked
        for part in parts:
            drawn += len(part)
            bar.advance(sum(sample in missing for sample in part))
    return drawn


def _in_threads(
    images: ImageStore,
    order: Sequence[Sample],
    missing: AbstractSet[Sample],
    draw: Draw,
    splitter: Splitter,
    batch_size: int,
    threads: int,
) -> Generator[Sequence[Sample], None, None]:
    """Yields parts of batches. The thread that generated a part writes it, since other cores are generating too."""
    from benchbench.runtime.cpu_threads import run_in_threads

    def draw_and_write(rows: slice) -> None:
        for part, pixels in splitter.parts(lambda part: draw(_within(rows, part)), rows.stop - rows.start):
            for sample, image in zip(order[_within(rows, part)], pixels, strict=True):
                if sample in missing:
                    images.write(sample, image)

    batches = [slice(start, min(start + batch_size, len(order))) for start in range(0, len(order), batch_size)]
    incomplete = [batch for batch in batches if not missing.isdisjoint(order[batch])]
    for rows, _ in run_in_threads(draw_and_write, incomplete, threads):
        yield order[rows]


def _one_by_one(
    images: ImageStore, order: Sequence[Sample], missing: AbstractSet[Sample], draw: Draw, splitter: Splitter
) -> Generator[Sequence[Sample], None, None]:
    """Yields batches. The images of a batch are encoded and written while the next batch is generated."""

    def draw_if_incomplete(rows: slice) -> np.ndarray | None:
        return None if missing.isdisjoint(order[rows]) else draw(rows)

    with ThreadPoolExecutor() as pool:
        writing: list[Future[None]] = []
        for rows, pixels in splitter.parts(draw_if_incomplete, len(order)):
            if pixels is None:
                continue
            _wait_for(writing)
            to_write = [pair for pair in zip(order[rows], pixels, strict=True) if pair[0] in missing]
            writing = [pool.submit(images.write, sample, image) for sample, image in to_write]
            yield order[rows]
        _wait_for(writing)


def _wait_for(writing: Sequence[Future[None]]) -> None:
    for future in writing:
        future.result()


def _within(rows: slice, part: slice) -> slice:
    """Returns the place in the whole order of a part of ``rows``."""
    return slice(rows.start + part.start, rows.start + part.stop)
