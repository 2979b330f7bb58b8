"""From names to scores: checks everything that can be checked, then generates and scores what is missing.

Imports torch only inside functions: wrong names on the command line must be reported before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchbench.errors import UsageError
from benchbench.evaluate import authors_sampler as authors
from benchbench.evaluate.conditions import BASE as BASE
from benchbench.evaluate.conditions import EvalConditions
from benchbench.evaluate.draw_in_jobs import backend_for, draw_in_jobs
from benchbench.evaluate.edits import check_edit, check_pictures
from benchbench.evaluate.eval_cost import EvalCost
from benchbench.evaluate.generate import Generation, generate
from benchbench.evaluate.rows import AdaptersBySeed, check_model, common_sampler, resolve_rows
from benchbench.evaluate.score import score
from benchbench.hub import layout, models
from benchbench.hub.models import LocalModel
from benchbench.prompts.words import too_long
from benchbench.rewards import lookup
from benchbench.rewards.needs import check_needs
from benchbench.runtime.backends.local import LocalBackend
from benchbench.runtime.files import Log
from benchbench.runtime.hashing import one_hash_cache
from benchbench.runtime.provenance import record
from benchbench.samplers import Sampler, apart_in_words
from benchbench.store.images import DamagedImage
from benchbench.store.runs import AdapterReference, Run
from benchbench.types import PromptSet, Reward

Generations = dict[tuple[str, int], list[Generation]]  # by row label and training seed


@dataclass(frozen=True)
class Measured:
    """Scores and images by row label. Score rows have a column ``train_seed``; generations are in its order."""

    frames: dict[str, pd.DataFrame]
    generations: dict[str, list[Generation]]
    runs: list[Run]
    conditions: EvalConditions
    record: dict[str, Any]


def measure(
    model: str | LocalModel,
    rows: Mapping[str, Sequence[AdapterReference]],
    prompts: PromptSet,
    rewards: Sequence[str | type[Reward]],
    *,
    store: Path,
    log: Log = print,
    tell_cost: bool = True,
    **options: Any,
) -> Measured:
    """Returns scores and images of every row; computes only what the store lacks, and loads weights only for that.

    ``rows`` maps a label to the trainings of a row; a row without trainings is the base model. ``tell_cost`` logs what
    was made. ``options`` are more arguments of ``prepare``:
    ``sampler`` is by default that of the trainings, or with ``authors_sampler`` that of the
    authors of released checkpoints; a mapping changes some of its settings. ``batch_size`` depends by default on the
    size of the images. ``compiled`` and ``channels_last`` are faster on a GPU and change only rounding, so they do not
    change under which key images are stored. Raises UsageError, MissingError, RunError and CorruptError (a damaged
    adapter, or one of another model).
    """
    reward_classes = [lookup.as_class(reward) for reward in dict.fromkeys(rewards)]
    _check_sizes({"rewards": len(reward_classes)})
    prepared = prepare(model, rows, prompts, reward_classes, store=store, log=log, **options)
    scoring = partial(score, rewards=reward_classes, device=prepared.device, **prepared.storing)
    generations, scored = _make_and_score(prepared.make, scoring, log)
    frames = _by_row(rows, generations, scored)
    cost = prepared.storing["cost"]
    if tell_cost:
        log(str(cost))
    return Measured(
        frames=frames,
        generations={label: [g for (row, _), gs in generations.items() if row == label for g in gs] for label in rows},
        runs=prepared.runs,
        conditions=prepared.conditions,
        record=prepared.made_on | {"spent": cost.json()},
    )


@dataclass(frozen=True)
class Prepared:
    """Rows that were looked up and checked. ``make(only=...)`` returns their images, of all prompts or of some."""

    conditions: EvalConditions
    runs: list[Run]
    device: str
    made_on: dict[str, Any]
    storing: dict[str, Any]
    """Arguments that generating and scoring share."""
    make: Callable[..., Generations]


def prepare(
    model: str | LocalModel,
    rows: Mapping[str, Sequence[AdapterReference]],
    prompts: PromptSet,
    rewards: Sequence[type[Reward]],
    *,
    store: Path,
    images_per_prompt: int = 5,
    eval_seeds: Sequence[int] = (0,),
    sampler: Sampler | Mapping[str, Any] | None = None,
    authors_sampler: bool = False,
    device: str | None = None,
    dtype: str = "auto",
    batch_size: int | None = None,
    compiled: bool = False,
    channels_last: bool = False,
    shared_start: bool = False,
    jobs: int | None = 1,
    log: Log = print,
) -> Prepared:
    """Checks all that ``measure`` checks before it makes images; takes its options and raises its errors.

    With ``shared_start`` the images of one prompt start from one x_T; they have keys of their own in the store.
    ``jobs`` is the number of processes that make images, None: one for each GPU where ``device`` names none.
    """
    sizes = {"prompts": len(prompts), "images per prompt": images_per_prompt}
    _check_sizes(sizes | {"evaluation seeds": len(eval_seeds), "batch size": batch_size or 1})
    check_needs(prompts.name, prompts.prompts, rewards)
    backend = backend_for(jobs, device)
    device, dtype = device_and_dtype(device, dtype)
    if jobs is None and device == "cpu":
        backend = None  # CUDA_VISIBLE_DEVICES names GPUs that this machine does not have
    with one_hash_cache():
        trainings = resolve_rows(rows, store)
    adapters = [adapter for by_seed in trainings.values() for adapter in by_seed.values() if adapter]
    if sampler is None or isinstance(sampler, Mapping):
        theirs = authors.common_settings(adapters) if authors_sampler else {}
        sampler = common_sampler(adapters, {**theirs, **(sampler or {})}, model)
    check_edit(prompts, sampler.model_dump(mode="json"))
    model = models.find(model)
    for line in authors.notes(adapters, sampler, model):
        log(line)
    batch_size = batch_size or layout.batch_size(model.root)
    check_model(adapters, model, model.hash, log)
    conditions = _conditions(model, sampler, dtype, prompts, images_per_prompt, eval_seeds, rewards)
    trained = apart_in_words((adapter.settings for adapter in adapters), conditions.sampler)
    conditions = conditions.model_copy(update={"trained": trained})
    weights = {conditions.model: model.hash, **{adapter.label: adapter.hash for adapter in adapters}}
    made_on = record(conditions.model_dump(mode="json"), weights, device)
    storing: dict[str, Any] = {"store": store, "batch_size": batch_size, "log": log, "cost": EvalCost()}
    loading = {"compiled": compiled, "channels_last": channels_last, "shared_start": shared_start}
    make = partial(
        _generate, model, trainings, prompts, conditions, device, loading, made_on=made_on, backend=backend, **storing
    )
    return Prepared(conditions, [adapter.run for adapter in adapters if adapter.run], device, made_on, storing, make)


def _make_and_score(
    make: Callable[[], Generations], score_all: Callable[[list[Generation]], list[pd.DataFrame]], log: Log
) -> tuple[Generations, list[pd.DataFrame]]:
    """Returns generations and their scores in order. Where an image is damaged, it is made again, once."""

    def make_and_score() -> tuple[Generations, list[pd.DataFrame]]:
        generations = make()
        return generations, score_all([generation for by_seed in generations.values() for generation in by_seed])

    try:
        return make_and_score()
    except DamagedImage as error:
        log(f"warning: {error.problem} ({error.cause}); every image is checked, and damaged ones are made again")
        return make_and_score()


def device_and_dtype(device: str | None, dtype: str) -> tuple[str, str]:
    """Returns the device and the precision that these options stand for. Raises UsageError for an unknown one."""
    from benchbench.diffusion import backbones

    picked = backbones.pick_device(device)
    return str(picked), backbones.pick_dtype(dtype, picked)


def _generate(
    model: LocalModel,
    trainings: Mapping[str, AdaptersBySeed],
    prompts: PromptSet,
    conditions: EvalConditions,
    device: str,
    loading: Mapping[str, bool],
    *,
    backend: LocalBackend | None,
    log: Log,
    **options: Any,
) -> Generations:
    """Returns the generations of every training.

    ``loading`` are options of LazyModel, and ``options`` more arguments of ``generate``. With a backend its jobs draw
    first what is missing.
    """
    from benchbench.diffusion import backbones
    from benchbench.evaluate.lazy_model import LazyModel

    def check(backbone: Any) -> None:
        _check_prompts(prompts, log, backbone.tokenizer)

    lazy_model = LazyModel(model, conditions.sampler, device, conditions.dtype, check, **loading)
    for adapter in (adapter for by_seed in trainings.values() for adapter in by_seed.values()):
        lazy_model.check(adapter)
    if backend:
        adapters = {label: list(by_seed.values()) for label, by_seed in trainings.items()}
        tokens = partial(backbones.load_tokenizer, model.root, "tokenizer", model)
        draw_in_jobs(
            adapters,
            model,
            prompts,
            conditions,
            device,
            loading,
            check=lambda: _check_prompts(prompts, log, tokens()),
            backend=backend,
            log=log,
            **options,
        )
    generations: Generations = {}
    for label, by_seed in trainings.items():
        for seed, adapter in by_seed.items():
            generations[label, seed] = generate(
                lazy_model.with_adapter(label if len(by_seed) == 1 else f"{label}, seed {seed}", adapter),
                prompts,
                sampler=conditions.sampler,
                dtype=conditions.dtype,
                images_per_prompt=conditions.images_per_prompt,
                eval_seeds=conditions.eval_seeds,
                shared_start=loading["shared_start"],
                log=log,
                **options,
            )
    lazy_model.close()
    return generations


def _check_prompts(prompts: PromptSet, log: Log, tokenizer: Any) -> None:
    """Warns of long prompts; raises CorruptError for a source picture that cannot be read."""
    check_pictures(prompts, log)
    for line in too_long(prompts, tokenizer):
        log(line)


def _conditions(
    model: LocalModel,
    sampler: Sampler,
    dtype: str,
    prompts: PromptSet,
    images_per_prompt: int,
    eval_seeds: Sequence[int],
    rewards: Sequence[type[Reward]],
) -> EvalConditions:
    return EvalConditions(
        name="reward-table",
        model=model.label,
        model_hash=model.hash,
        sampler=sampler.model_dump(mode="json"),
        dtype=dtype,
        prompts=prompts.name,
        prompts_hash=prompts.hash_for({field for reward_class in rewards for field in reward_class.needs}),
        prompt_count=len(prompts),
        images_per_prompt=images_per_prompt,
        eval_seeds=tuple(eval_seeds),
        rewards={reward_class.name: reward_class.version for reward_class in rewards},
    )


def _by_row(rows: Iterable[str], generations: Generations, scored: Iterable[pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Returns score rows by row label; ``scored`` has one frame per generation, in the order of ``generations``."""
    frames = iter(scored)
    parts: dict[str, list[pd.DataFrame]] = {label: [] for label in rows}
    for (label, seed), by_eval_seed in generations.items():
        parts[label] += [next(frames).assign(train_seed=seed) for _ in by_eval_seed]
    return {label: pd.concat(row_parts, ignore_index=True) for label, row_parts in parts.items()}


def _check_sizes(sizes: Mapping[str, int]) -> None:
    """Raises UsageError if one of these numbers is below 1."""
    if min(sizes.values()) < 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise UsageError("there is nothing to evaluate", listed, "give at least one of each")
