"""Edits of one model at several strengths, from the store or made now, and what the oracle says of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from benchbench.evaluate.edits import check_edit
from benchbench.evaluate.generate import Generation
from benchbench.evaluate.measure import BASE, device_and_dtype, measure
from benchbench.evaluate.reconstruct import reconstruct
from benchbench.hub import models
from benchbench.prompt_set import Prompt, metadata
from benchbench.protocols.base import Request
from benchbench.samplers import sampler_of, trained_with
from benchbench.shapes.edits import judge
from benchbench.shapes.sources import perfect_edits
from benchbench.store.runs import find_adapter

SOURCE, PERFECT = "source, only encoded and decoded", "perfect edit, only encoded and decoded"
NO_SOURCE = "base, without a source"
BOUNDS = (SOURCE, PERFECT, NO_SOURCE)
"""Rows that bound a table; they are measured with the base model."""


@dataclass(frozen=True)
class Edits:
    """The edits of one model at one strength; ``name`` is a part of the row's label."""

    name: str
    generations: list[Generation]

    def frame(self) -> pd.DataFrame:
        """Returns a row per edit, with the values of ``shapes.edits.judge``."""
        return pd.concat([self._frame(generation) for generation in self.generations], ignore_index=True)

    def _frame(self, generation: Generation) -> pd.DataFrame:
        samples = list(generation.entries)
        pixels = np.stack([np.asarray(generation.images.read(sample)) for sample in samples])
        prompts = [sample.prompt for sample in samples]
        rows = metadata(prompts)
        about = {
            "edit": self.name,
            "prompt_index": [sample.index for sample in samples],
            "prompt": [str(prompt) for prompt in prompts],
            "sample": [sample.number for sample in samples],
            "eval_seed": generation.seed,
            "attribute": [row["attribute"] for row in rows],
        }
        return pd.DataFrame(about | judge(pixels, rows, prompts))


def edits_of(asked: Request[Any], strengths: Sequence[float]) -> Iterator[Edits]:
    """Yields the edits of the asked model at each strength.

    Of the base model the rows of ``BOUNDS`` come first: sources, and drawings of perfect edits, that are only encoded
    and decoded, and what it makes of the prompts without a source. There are perfect edits where the prompts' metadata
    holds the scenes. Errors: those of ``evaluate.measure.measure``.
    """
    settings, model = asked.settings, models.find(asked.model)
    adapter = find_adapter(asked.store, asked.run) if asked.run is not None else None
    label = adapter.label if adapter else BASE
    of_run = adapter.settings.get("sampler", {}) if adapter else {}
    sampler = settings.sampler or trained_with(model, of_run).evaluation
    samplers = {strength: sampler_of(sampler.model_dump() | {"strength": strength}) for strength in strengths}
    for edit_sampler in samplers.values():
        check_edit(asked.prompts, edit_sampler.model_dump())  # before any is made
    images = {"images_per_prompt": settings.images_per_prompt, "eval_seeds": settings.eval_seeds}
    make = partial(
        measure,
        model,
        {label: [adapter] if adapter else []},
        rewards=[asked.reward],
        store=asked.store,
        device=asked.device,
        dtype=asked.dtype,
        log=asked.log,
        **images,
    )
    if adapter is None:
        device, dtype = device_and_dtype(asked.device, asked.dtype)
        where: dict[str, Any] = {"store": asked.store, "device": device, "dtype": dtype, "log": asked.log}
        prompts = asked.prompts.prompts
        yield Edits(SOURCE, reconstruct(model, asked.prompts, SOURCE, **images, **where))
        if all("scene" in row for row in metadata(prompts)):
            perfect = replace(asked.prompts, prompts=perfect_edits(prompts))
            yield Edits(PERFECT, reconstruct(model, perfect, PERFECT, **images, **where))
        texts = (Prompt(prompt, row) for prompt, row in zip(prompts, metadata(prompts), strict=True))
        plain = replace(asked.prompts, prompts=tuple(texts))
        yield Edits(NO_SOURCE, make(prompts=plain, sampler=sampler).generations[label])
    for strength, edit_sampler in samplers.items():
        edited = make(prompts=asked.prompts, sampler=edit_sampler).generations[label]
        yield Edits(f"strength {strength:g}", edited)
