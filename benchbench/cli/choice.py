"""What is meant where the command line names no model, reward or prompts."""

from __future__ import annotations

from benchbench import defaults, registry
from benchbench.cli.options import reward_words
from benchbench.cli.ui import all_at_once
from benchbench.rewards import lookup


def model(named: str | None, device: str | None) -> tuple[str, str]:
    """The model and why: the named one, else sd15 where it can run well, else the embedded one."""
    if named:
        return named, "as named"
    from benchbench.hub import models

    if models.missing("sd15"):
        return "shapes", "no --model, and sd15's weights are not here"
    if device is not None and not device.startswith("cuda"):
        return "shapes", f"no --model, and sd15 wants CUDA, not {device}"
    import torch  # only now: it takes seconds to load

    if not torch.cuda.is_available():
        return "shapes", "no --model, and sd15 wants CUDA, which is not here"
    return "sd15", "no --model; CUDA and sd15's weights are here"


def reward(named: str | None, model_name: str, method: str | None = None) -> tuple[str, str | None]:
    """The reward, and a note where it is not the one named; some methods have a default of their own."""
    own = "" if named or method is None else registry.get("methods", method).default_reward
    return lookup.resolve(named or own or defaults.of(model_name).reward, model_name)


def rewards(text: str, model_name: str) -> tuple[list[str], list[str]]:
    """The rewards of ``a,b`` or ``all``, and notes on what was left out or renamed; names every wrong one at once."""
    if text == "all":
        present, skipped = lookup.present()
        return present, [f"skipped {name}: {why}" for name, why in skipped.items()]
    chosen: list[tuple[str, str | None]] = []
    all_at_once(*(lambda word=word: chosen.append(reward(word, model_name)) for word in reward_words(text)))
    return list(dict.fromkeys(name for name, _ in chosen)), [note for _, note in chosen if note]


def judges(model_name: str, trained_on: list[str]) -> tuple[list[str], list[str]]:
    """What to compare by where no reward is named: the rewards trained on, and those here that judge such images.

    Those of the shapes world judge its images and no others; file sizes judge nothing.
    """
    here, missing = lookup.present()
    fitting = [name for name in here if lookup.fits(name, model_name) and not name.startswith("jpeg_")]
    away = [name for name in missing if lookup.fits(name, model_name)]
    note = [f"left out, since their weights are not here: {', '.join(away)}"] if away else []
    return list(dict.fromkeys([*trained_on, *fitting])), note


def prompts(named: str | None, model_name: str) -> str:
    """The prompt set to train on."""
    return named or defaults.of(model_name).prompts


def samples(named: int | None, model_name: str, method: str, preset: str | None) -> int:
    """How many images to train on: the preset's number, else the paper's 10,000, or on the embedded model minutes."""
    from benchbench import config

    if named is not None:
        return named
    presets = config.all_presets(method) or {}
    entry = (presets.get(preset or config.default_preset(method, model_name)) or {}).get("samples")
    return int(entry["value"]) if entry else defaults.of(model_name).samples
