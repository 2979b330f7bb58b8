"""What a command's words stand for: looked up once, every wrong word reported at once, and passed on as objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from benchbench import config, defaults, registry
from benchbench import prompts as prompt_sets
from benchbench.cli.options import reward_words
from benchbench.cli.ui import all_at_once
from benchbench.hub import models
from benchbench.hub.models import LocalModel
from benchbench.prompts.words import check_vocabulary
from benchbench.rewards import lookup
from benchbench.types import PromptSet, Reward

T = TypeVar("T")


@dataclass(frozen=True)
class Names:
    """Names of rewards, and notes on what was left out or renamed."""

    rewards: Sequence[str]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Chosen(Generic[T]):
    """The objects behind a command's words. Nothing is loaded."""

    rewards: dict[str, type[Reward]]
    """By name; their weights are here."""
    notes: Sequence[str]
    prompts: PromptSet
    model: LocalModel
    more: T
    """What the command itself made of its words."""

    @property
    def reward(self) -> type[Reward]:
        """The reward of a command that takes one."""
        return next(iter(self.rewards.values()))


def look_up(
    model_name: str | LocalModel,
    prompts_name: str,
    rewards: Callable[[], Names],
    more: Callable[[Sequence[str]], T],
) -> Chosen[T]:
    """Looks a model, prompts and rewards up, each once, and checks that they are here and go together.

    ``more`` is called with the names of the rewards, none where they are wrong. Errors: one UsageError or MissingError
    that names all that is wrong.
    """
    names: list[Names] = []

    def find_rewards() -> dict[str, type[Reward]]:
        names.append(rewards())
        return classes(names[0].rewards)

    found, model, prompts, made = all_at_once(
        find_rewards,
        lambda: models.find(model_name),
        lambda: _prompts(prompts_name, str(model_name)),
        lambda: more(names[0].rewards if names else ()),
    )
    return Chosen(found, names[0].notes, prompts, model, made)


def classes(names: Sequence[str]) -> dict[str, type[Reward]]:
    """Rewards by name, whose weights are here. Errors: one that names every reward that is missing or unknown."""
    found = all_at_once(*(lambda name=name: lookup.require(name) for name in names))
    return dict(zip(names, found, strict=True))


def _prompts(name: str, model_name: str) -> PromptSet:
    """Errors: those of ``prompts.load``, UsageError for words that the model does not know."""
    found = prompt_sets.load(name)
    check_vocabulary(found, model_name)
    return found


def model(named: str | None, device: str | None) -> tuple[str | LocalModel, str]:
    """The model and why: the named one, else sd15 where it can run well, else the embedded one."""
    if named:
        return named, "as named"
    here = models.find_complete("sd15")
    if here is None:
        return "shapes", "no --model, and sd15's weights are not here"
    if device is not None and not device.startswith("cuda"):
        return "shapes", f"no --model, and sd15 wants CUDA, not {device}"
    import torch  # only now: it takes seconds to load

    if not torch.cuda.is_available():
        return "shapes", "no --model, and sd15 wants CUDA, which is not here"
    return here, "no --model; CUDA and sd15's weights are here"


def reward(named: str | None, model_name: str, method: str | None = None) -> Names:
    """The reward, with a note where it is not the one named; some methods have a default of their own."""
    own = "" if named or method is None else registry.get("methods", method).default_reward
    name, note = lookup.resolve(named or own or defaults.of(model_name).reward, model_name)
    return Names([name], [note] if note else [])


def rewards(text: str, model_name: str) -> Names:
    """The rewards of ``a,b`` or ``all``. Errors: a UsageError that names every wrong one."""
    if text == "all":
        present, skipped = lookup.present()
        return Names(present, [f"skipped {name}: {why}" for name, why in skipped.items()])
    chosen: list[Names] = all_at_once(*(lambda word=word: reward(word, model_name) for word in reward_words(text)))
    names = dict.fromkeys(name for one in chosen for name in one.rewards)
    return Names(list(names), [note for one in chosen for note in one.notes])


def judges(model_name: str, trained_on: Sequence[str]) -> Names:
    """What to compare by where no reward is named: the rewards trained on, and those here that judge such images.

    Those of the shapes world judge its images and no others; file sizes judge nothing.
    """
    here, missing = lookup.present()
    fitting = [name for name in here if lookup.fits(name, model_name) and not name.startswith("jpeg_")]
    away = [name for name in missing if lookup.fits(name, model_name)]
    notes = [f"left out, since their weights are not here: {', '.join(away)}"] if away else []
    return Names(list(dict.fromkeys([*trained_on, *fitting])), notes)


def prompts(named: str | None, model_name: str) -> str:
    """The prompt set to train on."""
    return named or defaults.of(model_name).prompts


def samples(named: int | None, model_name: str, method: str, preset: str | None) -> int:
    """How many images to train on: the preset's number, else the paper's 10,000, or on the embedded model minutes."""
    if named is not None:
        return named
    presets = config.all_presets(method) or {}
    entry = (presets.get(preset or config.default_preset(method, model_name)) or {}).get("samples")
    return int(entry["value"]) if entry else defaults.of(model_name).samples
