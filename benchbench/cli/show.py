"""``bench show``. Imports the cost estimate of a preset, which loads torch, only inside the function."""

from __future__ import annotations

import inspect
import json
import math
from enum import StrEnum
from typing import Annotated

import typer

from benchbench import config, defaults, presets, prompts, registry, reward_calls
from benchbench.cli.options import Store
from benchbench.cli.ui import log, table
from benchbench.config import RunConfig
from benchbench.errors import MissingError
from benchbench.hub import models
from benchbench.prompt_set import metadata, sources
from benchbench.rewards import lookup
from benchbench.samplers import FlowSampler, SamplerConfig
from benchbench.store import root, runs
from benchbench.store.metrics import last_metrics


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
    """Show one method, reward, prompt set, model, run or preset. A preset is named by its method."""
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
    method_class = registry.get("methods", name)
    log(f"{name}: {method_class.paper}, {method_class.data}\n\n{inspect.cleandoc(method_class.__doc__ or '')}\n")
    sections = {"method": method_class.Config, "train": config.TrainConfig, "sampler": SamplerConfig}
    rows = [
        [f"{section}.{key}", field.get_default(call_default_factory=True), field.description or ""]
        for section, model in sections.items()
        for key, field in model.model_fields.items()
    ]
    rows += [
        [f"sampler.{key}, flow matching", field.get_default(call_default_factory=True), field.description or ""]
        for key, field in FlowSampler.model_fields.items()
    ]
    table(["setting", "default", "meaning and origin"], rows)
    for setting, reason in method_class.without_effect(method_class.Config()).items():
        log(f"\nmethod.{setting} has no effect at these defaults: {reason}.")
    log(f"\nPresets change these defaults: bench show preset {name}")


def _reward(name: str) -> None:
    reward_class = lookup.get(name)
    log(f"{name}\n\n{inspect.cleandoc(reward_class.__doc__ or '')}\n")
    rows = [
        ["version", reward_class.version],
        ["unit", reward_class.unit],
        ["usual range", _range(reward_class.range)],
        ["differentiable", "yes" if reward_class.differentiable else "no"],
        ["may be trained on", "yes" if reward_class.trainable else "no, it is for evaluation only"],
        ["reads the prompt", "yes" if reward_class.reads_prompt else "no, the score is of the image alone"],
        ["needs of each prompt", ", ".join(reward_class.needs) or "no metadata"],
        ["weights", reward_class.weights],
        ["here", reward_calls.missing(reward_class) or "yes"],
        *(["note", note] for note in reward_class.notes),
    ]
    table(["fact", "value"], rows)


def _range(ends: tuple[float, float]) -> str:
    low, high = ends
    return f"{low:g} to {high:g}" if math.isfinite(high - low) else "not stated"


def _prompts(name: str) -> None:
    entry = prompts.index().get(prompts.find(name) or "")
    facts: list[list[object]]
    try:
        prompt_set = prompts.load(name)
        facts = [["name", prompt_set.name], ["prompts", len(prompt_set)]]
        facts += [["origin", prompt_set.origin], ["licence", prompt_set.licence], ["sha256", prompt_set.hash]]
        fields = dict.fromkeys(field for row in metadata(prompt_set.prompts) for field in row)
        facts += [["metadata", ", ".join(fields)]] if fields else []
        pictures = sum(source is not None for source in sources(prompt_set.prompts))
        facts += [["pictures to edit", f"{pictures}; see docs/editing.md"]] if pictures else []
        facts += [["", text] for text in prompt_set.prompts[:5]]
    except MissingError as error:
        if entry is None:
            raise
        facts = [["prompts", entry.count], ["origin", entry.origin], ["licence", entry.licence]]
        facts += [["get it", error.remedy]]
    table(["fact", "value"], facts)


def _model(name: str) -> None:
    ids = models.aliases().get(name, ())
    rows: list[list[object]] = [["hub ids", ", ".join(ids)]] if ids else []
    try:
        folder = models.pipeline_folder(name)
        rows += [["here", "yes"], ["folder", folder], ["content hash", models.model_hash(name)]]
    except MissingError as error:
        rows.append(["here", f"{error.problem}: {error.remedy}"])
    table(["fact", "value"], rows)


def _run(name: str, store: Store) -> None:
    run = runs.find(root(store), name)
    log(f"{run.id}: {run.state}{f' ({run.note})' if run.note else ''}\n{run.path}\n")
    log(json.dumps(run.config, indent=2))
    last = last_metrics(run.path)
    log(f"\nlast metrics: {json.dumps(last) if last else 'none yet'}")
    if run.done:
        log(f"done: {json.dumps(run.done)}")


def _preset(method: str) -> None:
    registry.get("methods", method)
    rows: list[list[object]] = []
    for preset in presets.all_presets(method) or {}:
        values = presets.preset_values(method, preset)
        rows += [[preset, key, v["value"], v["origin"]] for key, v in values.items()]
        rows += [_precision(method, preset), *_cost(method, preset)] if values else []
    table(["preset", "setting", "value", "origin"], rows)
    for preset in presets.all_presets(method) or {}:
        listed = presets.deviations(method, preset)
        if listed:
            log(f"\n{preset} leaves out or does otherwise:")
        for text in listed:
            log(f"- {text}")


def _embedded(method: str, preset: str) -> RunConfig:
    """Returns a preset's settings on an embedded model, which is always here; what follows depends on its sampler."""
    model = defaults.embedded_model(preset)
    return config.load(method, model, "shapes-colour", "shapes-simple", 10_000, 0, preset)


def _precision(method: str, preset: str) -> list[object]:
    """Returns the row with the precision that train.dtype=auto chooses on a GPU, and the reason."""
    run = _embedded(method, preset)
    precision = run.method_class.precision(run.method_config)
    names = {"half": "bf16, or fp16 on a card without bf16"}
    return [preset, "precision on a GPU", names.get(precision.name, precision.name), precision.reason]


def _cost(method: str, preset: str) -> list[list[object]]:
    """Returns rows with a preset's batch and cost, counted by a run of a network that computes nothing."""
    from benchbench.train.cost_estimate import rollout_cost

    cost = rollout_cost(_embedded(method, preset))
    counts = {
        "images a rollout": cost.images,
        "optimizer steps a rollout": cost.updates,
        "rows an optimizer step": cost.rows,
        "network evaluations an image": cost.unet_evals,
        "with gradient an image": cost.unet_grads,
        "nfe an image": cost.nfe,
        "reward calls an image": cost.reward_calls,
    }
    return [[preset, name, f"{value:g}", "counted"] for name, value in counts.items()]
