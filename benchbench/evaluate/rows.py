"""The rows of a table: finds the trainings of each row, checks that they fit the model, and finds their sampler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchbench.errors import CorruptError, UsageError
from benchbench.hub.models import LocalModel, find
from benchbench.hub.single_file import described, read
from benchbench.hub.weights import check_fit
from benchbench.runtime.files import Log
from benchbench.samplers import Sampler, default_sampler, sampler_of
from benchbench.store.runs import Adapter, AdapterReference, find_adapter

AdaptersBySeed = dict[int, Adapter | None]  # by training seed; None is the base model


def resolve_rows(rows: Mapping[str, Sequence[AdapterReference]], store: Path) -> dict[str, AdaptersBySeed]:
    """Returns each row's adapters by training seed; a row without trainings is the base model.

    Raises UsageError if a row has two trainings of one seed, and what ``find_adapter`` raises.
    """
    resolved: dict[str, AdaptersBySeed] = {}
    for label, references in rows.items():
        adapters: AdaptersBySeed = {}
        for i, reference in enumerate(references):
            adapter = find_adapter(store, reference)
            seed = adapter.settings.get("seed", i)
            if seed in adapters:
                raise UsageError(
                    f"the row {label} has two trainings of seed {seed}",
                    "a row's trainings differ in nothing but their seeds",
                    "name each training once, or put them in rows of their own",
                )
            adapters[seed] = adapter
        resolved[label] = adapters or {0: None}
    return resolved


def short_labels(adapters: Sequence[Adapter]) -> list[str]:
    """Returns the adapters' methods where these differ from each other, else their own labels."""
    methods = [method_label(adapter) for adapter in adapters]
    return methods if len(set(methods)) == len(methods) else [adapter.label for adapter in adapters]


def method_label(adapter: Adapter) -> str:
    """Returns the method of an adapter, with the point of its training: ``tailorpo, 288 samples``; else its label."""
    point = adapter.label.removeprefix(adapter.run.id) if adapter.run else ""
    return f"{adapter.settings['method']}{point}" if "method" in adapter.settings else adapter.label


def common_sampler(
    adapters: Iterable[Adapter], changes: Mapping[str, Any] | None = None, model: str | LocalModel = ""
) -> Sampler:
    """Returns the sampler that evaluates all trainings, with ``changes``; the model's default if no training names one.

    Raises UsageError if the trainings used different samplers.
    """
    changes = dict(changes or {})
    used = {
        adapter.label: {**sampler_of(adapter.settings["sampler"]).model_dump(mode="json"), **changes}
        for adapter in adapters
        if "sampler" in adapter.settings
    }
    for label, sampler in used.items():
        first = next(iter(used))
        if sampler != used[first]:
            raise UsageError(
                f"{first} and {label} are not evaluated with one sampler",
                f"{used[first]} and {sampler}: a table compares only what is sampled alike",
                "evaluate them apart, or say how to sample: --steps, --guidance-scale",
            )
    default = default_sampler(model).model_dump(mode="json") | changes
    return sampler_of(next(iter(used.values()), default))


def check_model(adapters: Iterable[Adapter], model: str | LocalModel, model_hash: str, log: Log) -> None:
    """Checks that the adapters fit the base model; logs adapters from elsewhere whose base is not known to be it.

    Raises CorruptError for an adapter that was trained on another model, UsageError for a network of another shape.
    """
    for adapter in adapters:
        if adapter.model_hash is None:
            if adapter.base != str(model):
                origin = f"it was made from {adapter.base}" if adapter.base else "its base model is not known"
                log(f"{adapter.label}: no run of ours made it; {origin}")
            check_fit(adapter.weights, adapter.label, model)
            if adapter.weights.kind == "single-file":
                log(f"{adapter.label}: {described(read(adapter.weights.path), find(model))}")
        elif adapter.model_hash != model_hash:
            trained_on = adapter.settings.get("model", "another model")
            remedy = f"evaluate it with the model that it was trained on: --model {trained_on}"
            if trained_on == str(model):
                remedy = f"the weights of {model} have changed since: put the former ones back, or train again"
            raise CorruptError(
                f"the adapter of {adapter.label} is not one of {model}",
                f"it was trained on {trained_on}, weights {adapter.model_hash[:12]}; {model} is {model_hash[:12]} here",
                remedy,
            )
