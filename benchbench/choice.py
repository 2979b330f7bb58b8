"""From the words of a command or a call to objects: chooses defaults, looks every name up once, reports all wrong ones.

torch is imported only to ask for CUDA, where the choice of the model depends on it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from benchbench import defaults, presets, registry
from benchbench import prompts as prompt_sets
from benchbench.errors import UsageError, all_at_once
from benchbench.hub import models
from benchbench.hub.models import LocalModel
from benchbench.prompts.words import check_vocabulary
from benchbench.rewards import lookup
from benchbench.rewards.http_address import SUFFIX, is_address
from benchbench.rewards.mix_rule import SUM, split_rule
from benchbench.runtime.devices import check_name
from benchbench.types import PromptSet, Reward

T = TypeVar("T")


@dataclass(frozen=True)
class RewardNames:
    """Names of rewards, and notes for the user on those that were left out or replaced."""

    names: Sequence[str]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Resolved(Generic[T]):
    """The objects behind a command's words. No weights are loaded."""

    rewards: dict[str, type[Reward]]
    """Reward classes by name; their weights are on this machine."""
    notes: Sequence[str]
    prompts: PromptSet
    model: LocalModel
    extra: T
    """The result of the command's own check."""

    @property
    def reward(self) -> type[Reward]:
        """The reward of a command that takes exactly one."""
        return next(iter(self.rewards.values()))


def resolve(
    model_name: str | LocalModel,
    prompts: str | PromptSet,
    name_rewards: Callable[[], RewardNames],
    check_extra: Callable[[Sequence[str]], T],
    *,
    edits: bool = False,
) -> Resolved[T]:
    """Looks up a model, prompts and rewards, each once, and checks that they are on this machine and fit together.

    ``check_extra`` gets the rewards' names, or an empty list where these are wrong. ``edits`` reads the pictures that a
    file of prompts names, too. Errors: one UsageError or
    MissingError that names everything that is wrong.
    """
    named: list[RewardNames] = []

    def named_rewards() -> dict[str, type[Reward]]:
        named.append(name_rewards())
        return look_up_rewards(named[0], model_name)

    rewards, model, prompt_set, extra = all_at_once(
        named_rewards,
        lambda: models.find(model_name),
        lambda: _load_prompts(prompts, str(model_name), edits),
        lambda: check_extra(named[0].names if named else ()),
    )
    return Resolved(rewards, named[0].notes, prompt_set, model, extra)


def look_up_rewards(named: RewardNames, model_name: str | LocalModel) -> dict[str, type[Reward]]:
    """Returns reward classes by name. Errors: one for all that are unknown, have no weights or do not fit the model."""
    all_at_once(*(lambda name=name: lookup.check_base(lookup.get(name), model_name) for name in named.names))
    return reward_classes(named.names)


def reward_classes(names: Sequence[str]) -> dict[str, type[Reward]]:
    """Returns reward classes by name. Errors: one that names every reward that is unknown or has no weights."""
    classes = all_at_once(*(lambda name=name: lookup.require(name) for name in names))
    return dict(zip(names, classes, strict=True))


def _load_prompts(prompts: str | PromptSet, model_name: str, edits: bool) -> PromptSet:
    """Returns a prompt set. Errors: those of ``prompts.load``; UsageError for words that the model does not know."""
    prompt_set = prompt_sets.load(prompts, edits) if isinstance(prompts, str) else prompts
    check_vocabulary(prompt_set, model_name)
    return prompt_set


def choose_model(named: str | None, device: str | None) -> tuple[str | LocalModel, str]:
    """Returns a model and the reason: the named one, else sd15 with its weights and CUDA, else the shapes model.

    The reason is empty for the named one. Raises UsageError for a word that names no device.
    """
    check_name(device)
    if named:
        return named, ""
    sd15 = models.find_complete("sd15")
    if sd15 is None:
        return "shapes", "no --model, and sd15's weights are not here"
    if device is not None and not device.startswith("cuda"):
        return "shapes", f"no --model, and sd15 needs CUDA, not {device}"
    import torch

    if not torch.cuda.is_available():
        return "shapes", "no --model, and sd15 needs CUDA, which is not here"
    return sd15, "no --model; CUDA and sd15's weights are here"


def with_reason(model: str | LocalModel, reason: str) -> str:
    """Returns a model as messages name it, with the reason in brackets where nobody named it."""
    return f"{model} ({reason})" if reason else str(model)


def choose_reward(named: str | None, model_name: str, method: str | None = None) -> RewardNames:
    """Returns the named reward, else the method's default, else the model's, with a note where a stand-in is taken."""
    methods_default = "" if named or method is None else registry.get("methods", method).default_reward
    name, note = lookup.resolve(named or methods_default or defaults.of(model_name).reward, model_name)
    return RewardNames([name], [note] if note else [])


def choose_rewards(named: str | Sequence[str], model_name: str) -> RewardNames:
    """Returns the rewards of ``a,b`` or of a list, or all on this machine for ``all``.

    Errors: one UsageError for all of them.
    """
    if named == "all":
        present, missing = lookup.present()
        unfit = {name: why for name in present if (why := lookup.unfit(lookup.get(name), model_name))}
        absent = [name for name in missing if lookup.fetchable(name)]
        notes = [_without_weights(absent)] if absent else []
        others = {name: why for name, why in missing.items() if name not in absent} | unfit
        notes += [f"skipped {name}: {reason}" for name, reason in others.items()]
        return RewardNames([name for name in present if name not in unfit], notes)
    words = list(dict.fromkeys(split_rewards(named) if isinstance(named, str) else named))
    choices: list[RewardNames] = all_at_once(*(lambda word=word: choose_reward(word, model_name) for word in words))
    _refuse_twins([choice for word, choice in zip(words, choices, strict=True) if is_address(word)])
    names = dict.fromkeys(name for choice in choices for name in choice.names)
    return RewardNames(list(names), list(dict.fromkeys(note for choice in choices for note in choice.notes)))


def _refuse_twins(asked: Sequence[RewardNames]) -> None:
    """Raises UsageError where two servers state one name: their scores would be filed as one reward's."""
    names = [name for choice in asked for name in choice.names]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(
            f"two of the reward servers state the name {twice.removesuffix(SUFFIX)}",
            "; ".join(note for choice in asked for note in choice.notes),
            "name one of them, or let each state a name of its own",
        )


def default_comparison_rewards(model_name: str, trained_on: Sequence[str]) -> RewardNames:
    """Returns the rewards trained on, then all rewards on this machine that fit the model's images.

    The shapes world's rewards fit its own images only. JPEG sizes are left out: they say nothing of quality.
    """
    present, missing = lookup.present()
    fitting = [name for name in present if lookup.fits(name, model_name) and not name.startswith("jpeg_")]
    absent = [name for name in missing if lookup.fits(name, model_name)]
    notes = [_without_weights(absent)] if absent else []
    return RewardNames(list(dict.fromkeys([*trained_on, *fitting])), notes)


def _without_weights(names: Sequence[str]) -> str:
    """Returns one line on all rewards that could be fetched; `bench list rewards` says how."""
    return f"left out, since their weights are not here (bench list rewards): {', '.join(names)}"


def choose_prompts(named: str | None, model_name: str) -> str:
    """Returns the name of the prompt set: the named one, else the model's default."""
    return named or defaults.of(model_name).prompts


def choose_samples(named: int | None, model_name: str, method: str, preset: str | None) -> int:
    """Returns the number of training images: the named one, else the preset's, else the model's default."""
    if named is not None:
        return named
    entry = presets.preset_values(method, preset or presets.default_preset(method, model_name)).get("samples")
    return int(entry["value"]) if entry else defaults.of(model_name).samples


def split_rewards(text: str) -> list[str]:
    """Returns the rewards of ``a,b=1,c=2,d``: neighbours with weights are one mix, here of b and c.

    A word with a rule, as ``lowest:b=1``, begins another mix.
    """
    rewards: list[str] = []
    for word in split_names(text):
        if "=" in word and rewards and "=" in rewards[-1] and split_rule(word)[0] == SUM:
            rewards[-1] += f",{word}"
        else:
            rewards.append(word)
    return rewards


def split_names(text: str) -> list[str]:
    """Returns the names of ``a,b``; empty ones are left out."""
    return [word.strip() for word in text.split(",") if word.strip()]


def words_of(settings: Mapping[str, Any]) -> list[str]:
    """Returns settings as words that ``--set`` reads back: ``train.lr=0.0001``, ``train.betas=[0.9, 0.999]``."""
    return [f"{key}={word_of(value)}" for key, value in settings.items()]


def word_of(value: Any) -> str:
    """Returns a value as ``--set`` reads it: ``4``, ``0.5``, ``true``, ``[0.9, 0.999]``."""
    return value if isinstance(value, str) else json.dumps(value)
