"""Generates the images that the store lacks."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from benchbench.evaluate.draw_missing import all_samples, draw_missing
from benchbench.evaluate.eval_cost import EvalCost
from benchbench.evaluate.evaluated_model import EvaluatedModel, ImageGenerator
from benchbench.noise import Noise, Sample
from benchbench.runtime.files import Log, sweep
from benchbench.runtime.locks import locked
from benchbench.runtime.looking import about_to_make
from benchbench.runtime.progress import progress
from benchbench.samplers import steps_taken
from benchbench.store.images import CheckedImage, ImageStore
from benchbench.store.keys import GenerationKey
from benchbench.types import PromptSet, Reward


@dataclass(frozen=True)
class Generation:
    """The images of one model and evaluation seed, all sound, in the order of prompts and sample numbers."""

    label: str
    seed: int
    images: ImageStore
    prompts: PromptSet
    entries: dict[Sample, CheckedImage]

    @property
    def blank(self) -> int:
        """The number of images that are black or of one colour."""
        return sum(bool(entry.blank) for entry in self.entries.values())

    @cached_property
    def places(self) -> pd.DataFrame:
        """The images' prompt indices, sample numbers and pixel hashes, a row each."""
        return pd.DataFrame(
            {
                "prompt_index": [sample.index for sample in self.entries],
                "sample": [sample.number for sample in self.entries],
                "image_sha256": [entry.sha256 for entry in self.entries.values()],
            }
        )

    def metadata_hash(self, reward: type[Reward]) -> str:
        """Returns the hash of the prompts with the metadata that a reward needs; empty where it needs none."""
        return self.prompts.hash_for(reward.needs) if reward.needs else ""


def generate(
    model: EvaluatedModel,
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
    cost: EvalCost | None = None,
    only: Container[int] | None = None,
    shared_start: bool = False,
) -> list[Generation]:
    """Returns one Generation per evaluation seed. The model is loaded only if an image is missing.

    ``only`` limits them to the prompts of these indices, whose images are the same as those of the whole set.

    After an interruption, the next call makes the images that are missing; on as many threads they have the same bits.
    ``made_on`` goes into record.json; what is computed is added to ``cost``. ``shared_start`` is a part of the key, and
    the model must generate so. Raises RunError (disk full, too little memory).
    """
    samples = all_samples(prompts.prompts, images_per_prompt)
    wanted = samples if only is None else [sample for sample in samples if sample.index in only]
    generator: ImageGenerator | None = None
    generations = []
    for seed in eval_seeds:
        key = GenerationKey(
            model.model_hash, model.adapter_hash, sampler, dtype, prompts.name, prompts.hash_for(), seed, shared_start
        )
        images = ImageStore(store, key)
        with locked(images.lock, log):
            sweep(images.folder)
            entries = images.scan(wanted, log)
            missing = {sample for sample in wanted if sample not in entries}
            if missing:
                about_to_make("images")
                images.begin(made_on)
                generator = generator or model.open()
                started = time.monotonic()
                with progress(len(wanted), f"generating {model.label}", "images", len(entries)) as bar:
                    drawn = draw_missing(images, samples, missing, generator, Noise(seed, "eval"), batch_size, bar, log)
                if cost is not None:
                    cost.images += len(missing)
                    cost.unet_evals += drawn * steps_taken(sampler)  # one evaluation per step
                    cost.generating += time.monotonic() - started
                entries |= images.scan(missing, log)
        generations.append(Generation(model.label, seed, images, prompts, {s: entries[s] for s in wanted}))
        _warn_of_blank(generations[-1], log)
    return generations


def _warn_of_blank(generation: Generation, log: Log) -> None:
    if generation.blank:
        first = next(sample for sample, entry in generation.entries.items() if entry.blank)
        log(
            f"warning: {generation.blank} of {len(generation.entries)} images of {generation.label} are black or of "
            f"one colour (seed {generation.seed}), first {generation.images.path(first).name}: {first.prompt!r}"
        )
