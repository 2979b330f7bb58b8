"""Source pictures as the model's VAE gives them back: encoded and decoded, without noise and without a step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchbench.evaluate.edits import check_pictures
from benchbench.evaluate.generate import Generation, generate
from benchbench.evaluate.lazy_model import LazyModel
from benchbench.hub import layout
from benchbench.hub.models import LocalModel
from benchbench.prompt_set import PromptSet
from benchbench.runtime.files import Log
from benchbench.runtime.provenance import record
from benchbench.samplers import default_sampler

STRENGTH: dict[str, Any] = {"strength": 0.0}
"""The sampler in the images' key: no step is taken, so that no other setting of it plays a part."""


def reconstruct(
    model: LocalModel,
    prompts: PromptSet,
    label: str,
    *,
    images_per_prompt: int,
    eval_seeds: Sequence[int],
    store: Path,
    device: str,
    dtype: str,
    log: Log,
) -> list[Generation]:
    """Returns a Generation for each evaluation seed; each image is another draw from the VAE's posterior.

    ``label`` says in messages what is made. Makes only what the store lacks. Errors: CorruptError for a picture that
    cannot be read, RunError.
    """
    sampler = default_sampler(model).model_dump(mode="json") | STRENGTH
    lazy_model = LazyModel(model, sampler, device, dtype, lambda _: check_pictures(prompts, log))
    make = partial(generate, lazy_model.with_adapter(label, None), prompts, sampler=STRENGTH, dtype=dtype)
    asked = {"model": model.label, "prompts": prompts.name, "sampler": STRENGTH}
    return make(
        images_per_prompt=images_per_prompt,
        eval_seeds=eval_seeds,
        store=store,
        batch_size=layout.batch_size(model.root),
        made_on=record(asked, {model.label: model.hash}, device),
        log=log,
    )
