"""The preset that a search writes: its settings in the form of every preset, and the record of where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchbench import presets
from benchbench import prompts as prompt_sets
from benchbench.errors import UsageError
from benchbench.evaluate.measure import Measured
from benchbench.reproduce.plan import Plan
from benchbench.runtime.files import write_atomic
from benchbench.runtime.yaml_files import read_yaml
from benchbench.store import runs
from benchbench.store.run_file import read_run_file
from benchbench.tune.outcome import Outcome, Point, Values
from benchbench.tune.search import Search
from benchbench.tune.sentences import rule

HEADER = """\
# Written by bench tune. Train with it: bench train --method {method} --model {model} --preset THIS-FILE
# As a preset by name: copy the lines under `preset` under a name, as `shapes`, into presets/{file} beside the method.
"""


def check_place(file: Path, search: Search) -> None:
    """Raises UsageError where the file is there and is not the preset of this search."""
    if not file.exists():
        return
    try:
        content = read_yaml(file.read_text(encoding="utf-8"))
        same = content["record"]["search"] == search.name
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        same = False
    if not same:
        raise UsageError(
            f"{file} is there already", "it is not the preset of this search", "name another file as --out"
        )


def write(file: Path, search: Search, plan: Plan, found: Outcome, measured: Measured, report: Path) -> None:
    """Writes the preset of the chosen point; a file that has these settings already is left as it is."""
    assert found.chosen is not None
    settings = _settings(search, found.chosen)
    if file.exists() and read_yaml(file.read_text(encoding="utf-8")).get("preset") == settings:
        return
    content = {
        "method": search.method,
        "model": search.model,
        "reward": search.reward,
        "preset": settings,
        "record": _record(search, plan, found, found.chosen, measured) | {"report": f"reports/{report.name}"},
    }
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    names = {"method": search.method, "model": search.model, "file": f"{search.method.replace('-', '_')}.yaml"}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, (HEADER.format(**names) + text).encode())


def _settings(search: Search, chosen: Point) -> dict[str, Any]:
    """Returns the settings: the chosen rate and images, and all others as the preset behind the search has them."""
    seeds = ", ".join(map(str, search.seeds))
    searched = f"bench tune on {search.reward}, seeds {seeds}, chosen on {search.validation}"
    values = presets.preset_values(search.method, search.preset)
    chosen_values = {
        "samples": {"value": chosen.samples, "origin": f"{searched}: its best checkpoint"},
        presets.RATE: {"value": chosen.rate, "origin": f"{searched}: of {len(search.rates)} rates"},
    }
    return chosen_values | {key: entry for key, entry in values.items() if key not in chosen_values}


def _record(search: Search, plan: Plan, found: Outcome, chosen: Point, measured: Measured) -> dict[str, Any]:
    """Returns where the values come from: rule, search, prompts, runs and hashes, all points, date and commit."""
    kept = [t for t in plan.trainings if t.row == f"lr {chosen.rate:g}"]
    sets = {"train": search.prompts, "validation": search.validation}
    made = measured.record
    return {
        "search": search.name,
        "rule": rule(search),
        "settings": search.model_dump(mode="json"),
        "prompts": {role: {"name": name, "sha256": prompt_sets.load(name).hash} for role, name in sets.items()},
        "rewards": dict(measured.conditions.rewards),
        "base": _numbers(found.base),
        "chosen": {"lr": chosen.rate, "samples": chosen.samples, **_numbers(chosen.values)},
        "runs": [_run(training.out, chosen.samples) for training in kept],
        "tried": [{"lr": p.rate, "samples": p.samples, **_numbers(p.values)} for p in found.points],
        "not_candidates": list(found.failed),
        **{key: made[key] for key in ("benchbench", "time", "git", "device")},
    }


def _numbers(values: Values) -> dict[str, float]:
    numbers = {
        "reward": values.reward.value,
        "gain": values.gain.value,
        "guard": values.guard.value if values.guard else None,
        "fall": values.loss,
        "nfe": values.nfe,
        "reward_calls": values.reward_calls,
    }
    return {name: round(float(number), 5) for name, number in numbers.items() if number is not None}


def _run(out: Path, samples: int) -> dict[str, Any]:
    """Returns the id of a run, the hashes of what it was trained on, and that of its chosen weights."""
    kept = runs.find_adapter(out.parent.parent, out / runs.KEPT_FOLDER / f"{samples:08d}")
    run = read_run_file(out)
    return {"id": out.name, "weights_sha256": kept.hash, "digest": run["digest"], "inputs": dict(run["inputs"])}
