"""``bench show``: everything about one method, reward, prompt set, model, run or preset."""

from __future__ import annotations

import inspect
import json
from enum import StrEnum
from typing import Annotated

import typer

from benchbench import registry
from benchbench.cli.options import Store
from benchbench.cli.ui import log, table
from benchbench.errors import MissingError
from benchbench.rewards import lookup


class Kind(StrEnum):
    """What can be shown."""

    method = "method"
    reward = "reward"
    prompts = "prompts"
    model = "model"
    run = "run"
    preset = "preset"


def show(
    kind: Annotated[Kind, typer.Argument(show_default=False)],
    name: Annotated[str, typer.Argument(show_default=False)],
    store: Store = None,
) -> None:
    """Show everything about one method, reward, prompt set, model, run or a method's presets."""
    if kind is Kind.method:
        _method(name)
    elif kind is Kind.reward:
        _reward(name)
    elif kind is Kind.prompts:
        _prompts(name)
    elif kind is Kind.model:
        _model(name)
    elif kind is Kind.run:
        _run(name, store)
    else:
        _preset(name)


def _method(name: str) -> None:
    from benchbench import config

    cls = registry.get("methods", name)
    log(f"{name}: {cls.paper}, {cls.data}\n\n{inspect.cleandoc(cls.__doc__ or '')}\n")
    sections = {"method": cls.Config, "train": config.TrainConfig, "sampler": config.SamplerConfig}
    rows = [
        [f"{section}.{key}", field.get_default(call_default_factory=True), field.description or ""]
        for section, kind in sections.items()
        for key, field in kind.model_fields.items()
    ]
    table(["setting", "default", "meaning and origin"], rows)
    log(f"\nPresets change these defaults: bench show preset {name}")


def _reward(name: str) -> None:
    cls = lookup.get(name)
    low, high = cls.range
    log(f"{name}\n\n{inspect.cleandoc(cls.__doc__ or '')}\n")
    rows = [
        ["version", cls.version],
        ["unit", cls.unit],
        ["usual range", f"{low:g} to {high:g}"],
        ["differentiable", "yes" if cls.differentiable else "no"],
        ["may be trained on", "yes" if cls.trainable else "no, it only judges"],
        ["weights", cls.weights],
        ["here", cls.missing() or "yes"],
    ]
    table(["fact", "value"], rows)


def _prompts(name: str) -> None:
    from benchbench import prompts

    entry = prompts.index().get(prompts.find(name) or "")
    facts: list[list[object]]
    try:
        found = prompts.load(name)
        facts = [["name", found.name], ["prompts", len(found)], ["origin", found.origin], ["licence", found.licence]]
        facts += [["sha256", found.hash]]
        facts += [["", text] for text in found.prompts[:5]]
    except MissingError as error:
        if entry is None:
            raise
        facts = [["prompts", entry.count], ["origin", entry.origin], ["licence", entry.licence]]
        facts += [["get it", error.remedy]]
    table(["fact", "value"], facts)


def _model(name: str) -> None:
    from benchbench.hub import models

    ids = models.aliases().get(name, ())
    rows: list[list[object]] = [["hub ids", ", ".join(ids)]] if ids else []
    try:
        root = models.pipeline_folder(name)
        rows += [["here", "yes"], ["folder", root], ["content hash", models.model_hash(name)]]
    except MissingError as error:
        rows.append(["here", f"{error.problem}: {error.remedy}"])
    table(["fact", "value"], rows)


def _run(name: str, store: Store) -> None:
    from benchbench.store import root, runs
    from benchbench.store.metrics import last_metrics

    run = runs.find(root(store), name)
    log(f"{run.id}: {run.state}{f' ({run.note})' if run.note else ''}\n{run.path}\n")
    log(json.dumps(run.config, indent=2))
    last = last_metrics(run.path)
    log(f"\nlast metrics: {json.dumps(last) if last else 'none yet'}")
    if run.done:
        log(f"done: {json.dumps(run.done)}")


def _preset(name: str) -> None:
    from benchbench import config

    registry.get("methods", name)
    rows: list[list[object]] = []
    for preset in config.all_presets(name) or {}:
        values = config.preset_values(name, preset)
        rows += [[preset, key, v["value"], v["origin"]] for key, v in values.items()]
        rows += [_precision(name, preset), *_price(name, preset)] if values else []
    table(["preset", "setting", "value", "origin"], rows)


def _precision(name: str, preset: str) -> list[object]:
    """Returns the row that says what train.dtype=auto means on a GPU, and why."""
    from benchbench import config

    made = config.load(name, "shapes", "shapes-colour", "shapes-simple", 10_000, 0, preset)
    chosen = made.method_class.precision(made.method_config)
    words = {"half": "bf16, or fp16 on a card without bf16"}
    return [preset, "precision on a GPU", words.get(chosen.name, chosen.name), chosen.reason]


def _price(name: str, preset: str) -> list[list[object]]:
    """Effective batch and cost of a preset, counted over a network that does nothing; they do not depend on GPUs."""
    from benchbench import config
    from benchbench.train.cost_estimate import rollout_cost

    p = rollout_cost(config.load(name, "shapes", "shapes-colour", "shapes-simple", 10_000, 0, preset))
    facts = {
        "images a rollout": p.images,
        "optimiser steps a rollout": p.updates,
        "rows an optimiser step": p.rows,
        "UNet evaluations an image": p.unet_evals,
        "with gradient an image": p.unet_grads,
        "nfe an image": p.nfe,
        "reward calls an image": p.reward_calls,
    }
    return [[preset, key, f"{value:g}", "counted"] for key, value in facts.items()]
