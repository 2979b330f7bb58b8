"""The presets of each method: settings by name, each with its origin, in ``methods/presets/METHOD.yaml``."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import yaml

from benchbench import defaults
from benchbench.errors import UsageError
from benchbench.runtime.yaml_files import read_yaml

PRESETS = ("released", "released-sdxl", "hf", "hf-sdxl", "paper", "shapes")
SECTIONS = ("method", "train", "sampler")
DEVIATIONS = "deviations"
"""The key of a preset's list of what it does otherwise than the code or the paper that it is named after."""


def preset_values(method: str, preset: str) -> dict[str, dict[str, Any]]:
    """Returns ``section.key`` -> {value, origin} of a preset; empty for a method without a preset file.

    The key ``samples`` is the default of --samples. Raises UsageError for an unknown preset.
    """
    if preset not in PRESETS:
        raise UsageError(
            f"no preset {preset!r}", f"there are {', '.join(PRESETS)}", "leave --preset out, or name one of these"
        )
    presets = all_presets(method)
    if presets is None:
        return {}
    if preset not in presets:
        raise UsageError(
            f"{method} has no preset {preset!r}", f"it has {', '.join(presets)}", f"bench show preset {method}"
        )
    return {key: entry for key, entry in (presets[preset] or {}).items() if key != DEVIATIONS}


def deviations(method: str, preset: str) -> list[str]:
    """Returns what a preset leaves out or does otherwise than the code or the paper that it is named after."""
    listed: list[str] = ((all_presets(method) or {}).get(preset) or {}).get(DEVIATIONS, [])
    return listed


def all_presets(method: str) -> dict[str, Any] | None:
    """Returns the presets of a method by name with their deviations, or None where it has no preset file.

    Raises UsageError for a file that is not YAML, and for a preset or an entry of another form than ``preset_values``.
    """
    file = preset_file(method)
    if not file.is_file():
        return None
    try:
        presets = _read(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise wrong(method, [f"it is not YAML: {' '.join(str(error).split())}"]) from error
    if not isinstance(presets, dict):
        raise wrong(method, ["it needs presets by name"])
    errors = [error for preset, entries in presets.items() for error in _malformed(preset, entries)]
    if errors:
        raise wrong(method, errors)
    return dict(presets)


@functools.lru_cache(maxsize=32)
def _read(text: str) -> Any:
    """Returns the value of a preset file's text, which a table with many trainings asks for many times."""
    return read_yaml(text)


def preset_file(method: str) -> Traversable:
    """Returns the place of a method's preset file, which need not be there."""
    return resources.files("benchbench.methods") / "presets" / f"{method.replace('-', '_')}.yaml"


def _malformed(preset: Any, entries: Any) -> list[str]:
    """Returns a message for each fault in the form of one preset. An empty preset is sound."""
    if preset not in PRESETS:
        return [f"{preset}: no such preset; there are {', '.join(PRESETS)}"]
    if not (entries is None or isinstance(entries, dict)):
        return [f"{preset}: it needs lines as train.lr: {{value: 1.0e-4, origin: paper}}"]
    errors = []
    for key, entry in (entries or {}).items():
        section, dot, _ = str(key).partition(".")
        if key == DEVIATIONS:
            if not (isinstance(entry, list) and all(isinstance(text, str) and text.strip() for text in entry)):
                errors.append(f"{preset}: {DEVIATIONS} needs a list of texts, not {entry!r}")
        elif key != "samples" and not (dot and section in SECTIONS):
            errors.append(f"{preset}: {key} is neither samples nor method.KEY, train.KEY or sampler.KEY")
        elif not isinstance(entry, dict) or set(entry) != {"value", "origin"}:
            errors.append(f"{preset}: {key} needs {{value: ..., origin: ...}}, not {entry!r}")
        elif not isinstance(entry["origin"], str) or not entry["origin"].strip():
            errors.append(f"{preset}: {key} has an empty origin, or one that is no text")
        elif key == "samples" and (type(entry["value"]) is not int or entry["value"] < 1):
            errors.append(f"{preset}: samples must be a positive whole number, not {entry['value']!r}")
    return errors


def default_preset(method: str, model: str) -> str:
    """Returns the preset of the model where the method has it, else ``released``: not every method has one for SDXL."""
    preset = defaults.of(model).preset
    presets = all_presets(method)
    return preset if presets is None or preset in presets else "released"


def wrong(method: str, errors: Sequence[str]) -> UsageError:
    """Returns the error for a preset file with these faults, which names the file."""
    file = f"methods/presets/{preset_file(method).name}"
    return UsageError(
        f"the preset file {file} is wrong", "; ".join(errors), f"repair {file}; `bench check {method}` reads it again"
    )
