"""The rows of a table: which trainings each has, whether they fit the model, and how they are sampled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchbench.config import SamplerConfig
from benchbench.errors import CorruptError, UsageError
from benchbench.hub.models import LocalModel
from benchbench.hub.weights import check_fit
from benchbench.runtime.files import Log
from benchbench.store.runs import Adapter, adapter

Training = str | Path | Adapter
"""A training by its run id, run folder or adapter folder, or as it was found."""
Trainings = dict[int, Adapter | None]  # by training seed; the base model is a training of its own


def resolve(rows: Mapping[str, Sequence[Training]], store: Path) -> dict[str, Trainings]:
    """Each row's adapters by training seed. Errors: those of ``runs.adapter``, UsageError for a seed named twice."""
    found: dict[str, Trainings] = {}
    for label, names in rows.items():
        trainings: Trainings = {}
        for i, name in enumerate(names):
            one = adapter(store, name)
            seed = one.settings.get("seed", i)
            if seed in trainings:
                raise UsageError(
                    f"the row {label} has two trainings of seed {seed}",
                    "a row's trainings differ in nothing but their seeds",
                    "name each training once, or put them in rows of their own",
                )
            trainings[seed] = one
        found[label] = trainings or {0: None}
    return found


def common_sampler(adapters: Iterable[Adapter], changes: Mapping[str, float] | None = None) -> SamplerConfig:
    """The sampler that all trainings used, which is how they are evaluated, but for ``changes`` that are asked for; the
    default where none says.
    """
    default, asked = SamplerConfig().model_dump(), dict(changes or {})
    used = {one.label: {**one.settings["sampler"], **asked} for one in adapters if "sampler" in one.settings}
    for label, sampler in used.items():
        first = next(iter(used))
        if sampler != used[first]:
            raise UsageError(
                f"{first} and {label} were not trained with one sampler",
                f"{used[first]} and {sampler}: a table compares only what is sampled alike",
                "evaluate them apart, or say how to sample: --steps, --guidance-scale",
            )
    return SamplerConfig.model_validate(next(iter(used.values()), default | asked))


def check_model(adapters: Iterable[Adapter], model: str | LocalModel, model_hash: str, log: Log) -> None:
    """Errors: CorruptError for an adapter that was trained on another model, UsageError for a UNet of another shape."""
    for one in adapters:
        if one.model_hash is None:
            made = f"it was made from {one.base}" if one.base else f"whether it was made from {model} is not known"
            if one.base != str(model):
                log(f"{one.label}: no run of ours made it; {made}")
            check_fit(one.weights, one.label, model)
        elif one.model_hash != model_hash:
            its = one.settings.get("model", "another model")
            raise CorruptError(
                f"the adapter of {one.label} is not one of {model}",
                f"it was trained on {its}, weights {one.model_hash[:12]}; {model} is {model_hash[:12]} here",
                f"evaluate it with the model that it was trained on: --model {its}",
            )
