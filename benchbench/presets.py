"""The presets of each method: settings by name, each with its origin.

Those of our methods are in ``methods/presets/METHOD.yaml``. A plug-in ships its own in the same form, in
``presets/METHOD.yaml`` beside the module of the method. ``bench tune`` writes one preset into a file of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from benchbench import defaults, registry
from benchbench.errors import UsageError
from benchbench.runtime.hashing import digest
from benchbench.runtime.yaml_files import read_yaml

PRESETS = (
    *("released", "released-sdxl", "hf", "hf-sdxl", "paper", "sd35m", "shapes", "shapes-flow"),
    *("sdpo", "sdpo-sdxl", "dmpo", "shapes-sdpo", "shapes-dmpo"),  # options of a method, by their authors' settings
)
SECTIONS = ("method", "train", "sampler")
DEVIATIONS = "deviations"
"""The key of a preset's list of what it does otherwise than the code or the paper that it is named after."""
SUFFIXES = (".yaml", ".yml")
RATE = "train.lr"


def is_file(preset: str) -> bool:
    """Returns whether a word names a file that ``bench tune`` wrote, and no preset."""
    return preset.endswith(SUFFIXES)


def label(method: str, preset: str) -> str:
    """Returns the name of a preset in a run: of a file ``tuned-`` and a digest of its settings, wherever it lies."""
    if not is_file(preset):
        return preset
    values = {key: entry["value"] for key, entry in preset_values(method, preset).items()}
    return f"tuned-{digest([method, values])[:8]}"


def preset_values(method: str, preset: str) -> dict[str, dict[str, Any]]:
    """Returns ``section.key`` -> {value, origin} of a preset or of a file; empty for a method without a preset file.

    The key ``samples`` is the default of --samples. Raises UsageError for an unknown preset.
    """
    if is_file(preset):
        return _of_file(method, Path(preset).expanduser())
    if preset not in PRESETS:
        raise UsageError(
            f"no preset {preset!r}",
            f"there are {', '.join(PRESETS)}, and files of bench tune, which end in .yaml",
            "leave --preset out, or name one of these",
        )
    presets = all_presets(method)
    if presets is None:
        return {}
    if preset not in presets:
        raise UsageError(
            f"{method} has no preset {preset!r}", f"it has {', '.join(presets)}", f"bench show preset {method}"
        )
    return {key: entry for key, entry in (presets[preset] or {}).items() if key != DEVIATIONS}


def _of_file(method: str, file: Path) -> dict[str, dict[str, Any]]:
    """Returns the settings in a file of ``bench tune``. Errors: UsageError, also for a file of another method."""
    again = f"name a file that `bench tune {method}` wrote"
    try:
        content = read_yaml(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        cause = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise UsageError(f"the preset {file} cannot be read", cause, again) from error
    entries = content.get("preset") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not isinstance(content.get("method"), str):
        raise UsageError(f"{file} holds no preset of bench tune", "it needs the fields method and preset", again)
    if content["method"] != method:
        raise UsageError(f"{file} is a preset of {content['method']}", f"the method is {method}", again)
    if errors := _malformed("preset", entries):
        raise wrong(method, errors, str(file))
    return {key: entry for key, entry in entries.items() if key != DEVIATIONS}


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
    unknown = [f"{name}: no such preset; there are {', '.join(PRESETS)}" for name in presets if name not in PRESETS]
    if registry.plugin_folder("methods", method):
        presets = {"released": None, **presets}  # the preset of every model that has none of its own
    errors = unknown + [error for preset, entries in presets.items() for error in _malformed(preset, entries)]
    if errors:
        raise wrong(method, errors)
    return dict(presets)


@functools.lru_cache(maxsize=32)
def _read(text: str) -> Any:
    """Returns the value of a preset file's text, which a table with many trainings asks for many times."""
    return read_yaml(text)


def preset_file(method: str) -> Traversable:
    """Returns the place of a method's preset file, which need not be there; a plug-in's is beside its module."""
    folder = registry.plugin_folder("methods", method) or resources.files("benchbench.methods")
    return folder / "presets" / f"{method.replace('-', '_')}.yaml"


def _malformed(preset: Any, entries: Any) -> list[str]:
    """Returns a message for each fault in the form of one preset. An empty preset is sound."""
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


UNSEARCHED = "the default, which nobody has searched"
"""The origin of a learning rate that stands in no preset."""


def rate_origin(method: str, preset: str, settings: Sequence[str] = ()) -> str:
    """Returns how the learning rate was chosen; ``settings`` are the words of ``--set``.

    It is given with the command or the table, taken from a preset, or the default, which nobody has searched.
    """
    if any(word.partition("=")[0].strip() == RATE for word in settings):
        return "given with the command or in the file"
    searched = RATE in preset_values(method, preset)
    return f"preset {label(method, preset)}" if searched else UNSEARCHED


def wrong(method: str, errors: Sequence[str], preset: str = "") -> UsageError:
    """Returns the error for a preset file with these faults, which names the file; ``preset`` may name another one."""
    place = preset_file(method)
    file = str(place) if registry.plugin_folder("methods", method) else f"methods/presets/{place.name}"
    if is_file(preset):
        return UsageError(f"the preset {preset} is wrong", "; ".join(errors), f"repair it, or tune {method} again")
    return UsageError(
        f"the preset file {file} is wrong", "; ".join(errors), f"repair {file}; `bench check {method}` reads it again"
    )
