"""From a command's words to objects: chooses defaults, looks every name up once and reports every wrong one at once.

torch is imported only to ask for CUDA, where the choice of the model depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from benchbench import defaults, presets, registry
from benchbench import prompts as prompt_sets
from benchbench.cli.options import split_rewards
from benchbench.cli.ui import all_at_once
from benchbench.errors import UsageError
from benchbench.hub import models
from benchbench.hub.models import LocalModel
from benchbench.prompts.words import check_vocabulary
from benchbench.rewards import lookup
from benchbench.rewards.http_address import SUFFIX, is_address
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
    prompts_name: str,
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

    def look_up_rewards() -> dict[str, type[Reward]]:
        named.append(name_rewards())
        all_at_once(*(lambda name=name: lookup.check_base(lookup.get(name), model_name) for name in named[0].names))
        return reward_classes(named[0].names)

    rewards, model, prompts, extra = all_at_once(
        look_up_rewards,
        lambda: models.find(model_name),
        lambda: _load_prompts(prompts_name, str(model_name), edits),
        lambda: check_extra(named[0].names if named else ()),
    )
    return Resolved(rewards, named[0].notes, prompts, model, extra)


def reward_classes(names: Sequence[str]) -> dict[str, type[Reward]]:
    """Returns reward classes by name. Errors: one that names every reward that is unknown or has no weights."""
    classes = all_at_once(*(lambda name=name: lookup.require(name) for name in names))
    return dict(zip(names, classes, strict=True))


def _load_prompts(name: str, model_name: str, edits: bool) -> PromptSet:
    """Returns a prompt set. Errors: those of ``prompts.load``; UsageError for words that the model does not know."""
    prompt_set = prompt_sets.load(name, edits)
    check_vocabulary(prompt_set, model_name)
    return prompt_set


def choose_model(named: str | None, device: str | None) -> tuple[str | LocalModel, str]:
    """Returns a model and the reason: the named one, else sd15 with its weights and CUDA, else the shapes model."""
    if named:
        return named, "as named"
    sd15 = models.find_complete("sd15")
    if sd15 is None:
        return "shapes", "no --model, and sd15's weights are not here"
    if device is not None and not device.startswith("cuda"):
        return "shapes", f"no --model, and sd15 needs CUDA, not {device}"
    import torch

    if not torch.cuda.is_available():
        return "shapes", "no --model, and sd15 needs CUDA, which is not here"
    return sd15, "no --model; CUDA and sd15's weights are here"


def choose_reward(named: str | None, model_name: str, method: str | None = None) -> RewardNames:
    """Returns the named reward, else the method's default, else the model's, with a note where a stand-in is taken."""
    methods_default = "" if named or method is None else registry.get("methods", method).default_reward
    name, note = lookup.resolve(named or methods_default or defaults.of(model_name).reward, model_name)
    return RewardNames([name], [note] if note else [])


def choose_rewards(text: str, model_name: str) -> RewardNames:
    """Returns the rewards of ``a,b``, or all on this machine for ``all``. Errors: one UsageError for all of them."""
    if text == "all":
        present, missing = lookup.present()
        unfit = {name: why for name in present if (why := lookup.unfit(lookup.get(name), model_name))}
        absent = [name for name in missing if lookup.fetchable(name)]
        notes = [_without_weights(absent)] if absent else []
        others = {name: why for name, why in missing.items() if name not in absent} | unfit
        notes += [f"skipped {name}: {reason}" for name, reason in others.items()]
        return RewardNames([name for name in present if name not in unfit], notes)
    words = list(dict.fromkeys(split_rewards(text)))
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
    of_method = presets.all_presets(method) or {}
    entry = (of_method.get(preset or presets.default_preset(method, model_name)) or {}).get("samples")
    return int(entry["value"]) if entry else defaults.of(model_name).samples
