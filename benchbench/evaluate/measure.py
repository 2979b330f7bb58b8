"""From names to scores: checks everything that can be refused, then generates and scores what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchbench.config import SamplerConfig
from benchbench.errors import UsageError
from benchbench.evaluate import rows as rows_of
from benchbench.evaluate.eval_cost import Spent
from benchbench.evaluate.generate import Generation, generate
from benchbench.evaluate.protocol import Protocol
from benchbench.evaluate.row import Model
from benchbench.evaluate.rows import Training
from benchbench.evaluate.score import score
from benchbench.hub import models
from benchbench.hub.models import LocalModel
from benchbench.prompts.words import too_long
from benchbench.rewards import lookup
from benchbench.runtime.files import Log
from benchbench.runtime.provenance import record
from benchbench.store.runs import Run
from benchbench.types import PromptSet, Reward

BASE = "base"


@dataclass(frozen=True)
class Measured:
    """Scores and images by row label. Score rows have a column ``train_seed``; generations are in its order."""

    frames: dict[str, pd.DataFrame]
    generations: dict[str, list[Generation]]
    runs: list[Run]
    protocol: Protocol
    record: dict[str, Any]


def measure(
    model: str | LocalModel,
    rows: Mapping[str, Sequence[Training]],
    prompts: PromptSet,
    rewards: Sequence[str | type[Reward]],
    *,
    store: Path,
    images_per_prompt: int = 5,
    eval_seeds: Sequence[int] = (0,),
    sampler: SamplerConfig | Mapping[str, float] | None = None,
    device: str | None = None,
    dtype: str = "auto",
    batch_size: int | None = None,
    compiled: bool = False,
    channels_last: bool = False,
    log: Log = print,
) -> Measured:
    """``rows`` maps a label to its trainings (run ids, run folders, adapter folders); no training is the base model.

    Names are looked up; a model, trainings and rewards that were looked up are taken as they are.
    Without ``sampler`` it is the one that the trainings used, and a mapping changes that one. Run twice, it makes
    nothing the second time and loads no weights; interrupted, it goes on. Without ``batch_size`` it is by the size of
    the images. ``compiled`` and ``channels_last`` make a GPU faster and change rounding alone, so that images keep
    their names. Errors: UsageError, MissingError, CorruptError (an adapter that is damaged or of another model),
    RunError.
    """
    from benchbench.diffusion import backbones

    kinds = [lookup.as_class(reward) for reward in dict.fromkeys(rewards)]
    sizes = {"prompts": len(prompts), "rewards": len(kinds), "images per prompt": images_per_prompt}
    _refuse_nothing(sizes | {"evaluation seeds": len(eval_seeds), "batch size": batch_size or 1})
    chosen = backbones.pick_device(device)
    where, precision = str(chosen), backbones.pick_dtype(dtype, chosen)
    trainings = rows_of.resolve(rows, store)
    adapters = [found for row in trainings.values() for found in row.values() if found]
    if not isinstance(sampler, SamplerConfig):
        sampler = rows_of.common_sampler(adapters, sampler)
    settings = sampler.model_dump(mode="json")

    def warn(backbone: Any) -> None:
        for line in too_long(prompts, backbone.tokenizer):
            log(line)

    here = models.find(model)
    base = Model(here, settings, where, precision, warn, compiled=compiled, channels_last=channels_last)
    batch = batch_size or models.batch_size(here.root)
    rows_of.check_model(adapters, here, here.hash, log)
    protocol = _protocol(here, settings, precision, prompts, images_per_prompt, eval_seeds, kinds)
    weights = {protocol.model: here.hash, **{found.label: found.hash for found in adapters}}
    ran, spent = record(protocol.model_dump(mode="json"), weights, where), Spent()

    draw = partial(
        generate,
        prompts=prompts,
        sampler=settings,
        dtype=precision,
        images_per_prompt=images_per_prompt,
        eval_seeds=eval_seeds,
        store=store,
        batch_size=batch,
        made_on=ran,
        log=log,
        spent=spent,
    )
    made = {
        (label, seed): draw(base.subject(label if len(row) == 1 else f"{label}, seed {seed}", found))
        for label, row in trainings.items()
        for seed, found in row.items()
    }
    base.close()
    every = [generation for generations in made.values() for generation in generations]
    scored = score(every, kinds, store=store, device=where, batch_size=batch, log=log, spent=spent)
    frames = _by_row(rows, made, scored)
    log(str(spent))
    return Measured(
        frames=frames,
        generations={label: [g for (row, _), found in made.items() if row == label for g in found] for label in rows},
        runs=[found.run for found in adapters if found.run],
        protocol=protocol,
        record=ran | {"spent": spent.json()},
    )


def _protocol(
    model: LocalModel,
    sampler: Mapping[str, Any],
    dtype: str,
    prompts: PromptSet,
    images_per_prompt: int,
    eval_seeds: Sequence[int],
    rewards: Sequence[type[Reward]],
) -> Protocol:
    """What all rows have in common."""
    return Protocol(
        name="reward-table",
        model=model.label,
        model_hash=model.hash,
        sampler=dict(sampler),
        dtype=dtype,
        prompts=prompts.name,
        prompts_hash=prompts.hash,
        prompt_count=len(prompts),
        images_per_prompt=images_per_prompt,
        eval_seeds=tuple(eval_seeds),
        rewards={kind.name: kind.version for kind in rewards},
    )


def _by_row(
    rows: Iterable[str], made: Mapping[tuple[str, int], list[Generation]], scored: Iterable[pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Score rows by row label; ``scored`` has a frame for each generation of ``made``, in its order."""
    frames = iter(scored)
    parts: dict[str, list[pd.DataFrame]] = {label: [] for label in rows}
    for (label, seed), generations in made.items():
        parts[label] += [next(frames).assign(train_seed=seed) for _ in generations]
    return {label: pd.concat(own, ignore_index=True) for label, own in parts.items()}


def _refuse_nothing(sizes: Mapping[str, int]) -> None:
    """Errors: UsageError where one of these numbers is 0 or less."""
    if min(sizes.values()) < 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise UsageError("there is nothing to evaluate", listed, "give at least one of each")
