"""Generates the images that are missing from the store, and only those."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbench.api import PromptSet
from benchbench.errors import RunError
from benchbench.evaluate.spent import Spent
from benchbench.evaluate.subject import Drawing, Subject
from benchbench.noise import Noise, Sample
from benchbench.report.progress import Progress, progress
from benchbench.store.files import Say, locked, sweep
from benchbench.store.images import Entry, Images
from benchbench.store.keys import GenerationKey

if TYPE_CHECKING:
    import numpy as np

WRITERS = 2  # parts that are encoded and written at a time: one takes a tenth of the time that drawing it took


@dataclass(frozen=True)
class Generation:
    """The sound images of one subject and evaluation seed, in the order of prompts and sample numbers."""

    label: str
    seed: int
    images: Images
    entries: dict[Sample, Entry]

    @property
    def blank(self) -> int:
        """How many images are black or of one colour."""
        return sum(bool(entry.blank) for entry in self.entries.values())


def generate(
    subject: Subject,
    prompts: PromptSet,
    *,
    sampler: Mapping[str, Any],
    dtype: str,
    images_per_prompt: int,
    eval_seeds: Sequence[int],
    store: Path,
    batch_size: int,
    made_on: Mapping[str, Any],
    say: Say,
    spent: Spent | None = None,
) -> list[Generation]:
    """One Generation an evaluation seed. The subject is opened only where an image is missing.

    Interrupted at any moment, the next call makes what is left, on as many threads to the same bits: rounding depends
    on the rows beside an image, so a batch that lacks one is drawn whole, and only what it lacks is stored. ``made_on``
    goes to the images' record; what is computed is added to ``spent``. Errors: RunError (disk full, too little memory).
    """
    items = [Sample(text, n, i) for i, text in enumerate(prompts.prompts) for n in range(images_per_prompt)]
    drawing: Drawing | None = None
    done = []
    for seed in eval_seeds:
        key = GenerationKey(subject.model_hash, subject.adapter_hash, sampler, dtype, prompts.name, prompts.hash, seed)
        images = Images(store, key)
        with locked(images.lock, say):
            sweep(images.folder)
            entries = images.scan(items, say)
            missing = {item for item in items if item not in entries}
            if missing:
                images.begin(made_on)
                drawing = drawing or subject.open()
                started = time.monotonic()
                with progress(len(items), f"generating {subject.label}", "images", len(entries)) as bar:
                    drawn = _fill(images, items, missing, drawing, Noise(seed, "eval"), batch_size, bar, say)
                if spent is not None:
                    spent.images += len(missing)
                    spent.unet_evals += drawn * int(sampler["steps"])  # a plain walk asks once a step
                    spent.generating += time.monotonic() - started
                entries |= images.scan(missing, say)
        done.append(Generation(subject.label, seed, images, {item: entries[item] for item in items}))
        _report_blank(done[-1], say)
    return done


def _fill(
    images: Images,
    items: Sequence[Sample],
    missing: AbstractSet[Sample],
    drawing: Drawing,
    noise: Noise,
    batch_size: int,
    bar: Progress,
    say: Say,
) -> int:
    """How many images were drawn. Those of one part are encoded and written while others are drawn, then let go."""
    drawn = 0
    with ThreadPoolExecutor(WRITERS) as pool:
        writing = deque[Future[None]]()
        for part, pixels in _drawn(items, missing, drawing, noise, batch_size, say):
            if len(writing) == WRITERS:
                writing.popleft().result()
            lacking = [(item, image) for item, image in zip(part, pixels, strict=True) if item in missing]
            writing.append(pool.submit(_write, images, lacking))
            drawn += len(part)
            bar.advance(len(lacking))
        for future in writing:
            future.result()
    return drawn


def _write(images: Images, drawn: Sequence[tuple[Sample, np.ndarray]]) -> None:
    for item, pixels in drawn:
        images.write(item, pixels)


def _drawn(
    items: Sequence[Sample], missing: AbstractSet[Sample], drawing: Drawing, noise: Noise, batch_size: int, say: Say
) -> Iterator[tuple[Sequence[Sample], np.ndarray]]:
    """Batches that lack an image, whole, at places that are the same whatever is missing; on a CPU part by part.

    First images of all prompts come before second ones, so that asking for more a prompt moves no place.
    """
    from benchbench.diffusion.side_by_side import side_by_side

    order = sorted(items, key=lambda item: (item.number, item.index))
    if drawing.threads == 1:
        yield from _one_by_one(order, missing, drawing, noise, batch_size, say)
        return
    starts = range(0, len(order), batch_size)
    batches = [slice(start, min(start + batch_size, len(order))) for start in starts]
    lacking = [batch for batch in batches if not missing.isdisjoint(order[batch])]
    for rows, pixels in side_by_side(lambda rows: drawing.draw(order[rows], noise), lacking, drawing.threads):
        yield order[rows], pixels


def _one_by_one(
    order: Sequence[Sample], missing: AbstractSet[Sample], drawing: Drawing, noise: Noise, size: int, say: Say
) -> Iterator[tuple[Sequence[Sample], np.ndarray]]:
    """Batch after batch; out of memory halves the size from there on."""
    import torch

    start = 0
    while start < len(order):
        batch = order[start : start + size]
        if missing.isdisjoint(batch):
            start += len(batch)
            continue
        try:
            pixels = drawing.draw(batch, noise)
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


def _report_blank(generation: Generation, say: Say) -> None:
    if generation.blank:
        first = next(item for item, entry in generation.entries.items() if entry.blank)
        say(
            f"warning: {generation.blank} of {len(generation.entries)} images of {generation.label} are black or of "
            f"one colour (seed {generation.seed}), first {generation.images.path(first).name}: {first.prompt!r}"
        )
