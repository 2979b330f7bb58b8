"""Generates the images that are missing from the store, and only those."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbench.evaluate.draw_missing import fill
from benchbench.evaluate.eval_cost import Spent
from benchbench.evaluate.row import ImageSampler, Subject
from benchbench.noise import Noise, Sample
from benchbench.runtime.files import Log, sweep
from benchbench.runtime.locks import locked
from benchbench.runtime.progress import progress
from benchbench.store.images import Entry, ImageStore
from benchbench.store.keys import GenerationKey
from benchbench.types import PromptSet


@dataclass(frozen=True)
class Generation:
    """The sound images of one subject and evaluation seed, in the order of prompts and sample numbers."""

    label: str
    seed: int
    images: ImageStore
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
    log: Log,
    spent: Spent | None = None,
) -> list[Generation]:
    """One Generation an evaluation seed. The subject is opened only where an image is missing.

    Interrupted at any moment, the next call makes what is left, on as many threads to the same bits: rounding depends
    on the rows beside an image, so a batch that lacks one is drawn whole, and only what it lacks is stored. ``made_on``
    goes to the images' record; what is computed is added to ``spent``. Errors: RunError (disk full, too little memory).
    """
    items = [Sample(text, n, i) for i, text in enumerate(prompts.prompts) for n in range(images_per_prompt)]
    drawing: ImageSampler | None = None
    done = []
    for seed in eval_seeds:
        key = GenerationKey(subject.model_hash, subject.adapter_hash, sampler, dtype, prompts.name, prompts.hash, seed)
        images = ImageStore(store, key)
        with locked(images.lock, log):
            sweep(images.folder)
            entries = images.scan(items, log)
            missing = {item for item in items if item not in entries}
            if missing:
                images.begin(made_on)
                drawing = drawing or subject.open()
                started = time.monotonic()
                with progress(len(items), f"generating {subject.label}", "images", len(entries)) as bar:
                    drawn = fill(images, items, missing, drawing, Noise(seed, "eval"), batch_size, bar, log)
                if spent is not None:
                    spent.images += len(missing)
                    spent.unet_evals += drawn * int(sampler["steps"])  # a plain walk asks once a step
                    spent.generating += time.monotonic() - started
                entries |= images.scan(missing, log)
        done.append(Generation(subject.label, seed, images, {item: entries[item] for item in items}))
        _report_blank(done[-1], log)
    return done


def _report_blank(generation: Generation, log: Log) -> None:
    if generation.blank:
        first = next(item for item, entry in generation.entries.items() if entry.blank)
        log(
            f"warning: {generation.blank} of {len(generation.entries)} images of {generation.label} are black or of "
            f"one colour (seed {generation.seed}), first {generation.images.path(first).name}: {first.prompt!r}"
        )
