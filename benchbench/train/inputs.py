"""Looks up the objects that a run's names stand for, once, and refuses what can be refused without loading a weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from benchbench import prompts as prompt_sets
from benchbench.api import Method, MethodConfig
from benchbench.config import RunConfig
from benchbench.diffusion.backbones import pick_device
from benchbench.errors import MissingError
from benchbench.hub import models
from benchbench.hub.models import LocalModel
from benchbench.pairs.look_up import PairsToMake, look_up_pairs
from benchbench.prompts.sources import refuse_sources
from benchbench.prompts.words import check_vocabulary
from benchbench.rewards import lookup
from benchbench.rewards.needs import check_needs
from benchbench.train.fit import check_fit
from benchbench.types import PromptSet, Reward

T = TypeVar("T")


@dataclass(frozen=True)
class Inputs:
    """The objects that a RunConfig's names stand for. No weights are loaded yet."""

    method: type[Method[Any]]
    cfg: MethodConfig
    """The method's settings."""
    reward_class: type[Reward]
    prompts: PromptSet
    model: LocalModel
    pairs: str | PairsToMake | None
    """A pair set's name, or pairs still to be made; None for an online method."""


def look_up(
    config: RunConfig,
    reward_class: type[Reward] | None = None,
    prompts: PromptSet | None = None,
    model: LocalModel | None = None,
) -> Inputs:
    """Returns the run's Inputs; looks up what is not passed in, and checks that they fit together.

    Errors: UsageError for a run that cannot be trained, MissingError for a file that is not on this machine.
    """
    method, cfg = config.method_class, config.method_config
    check_fit(config, reward_class or lookup.get(config.reward))
    prompts = prompts or prompt_sets.load(config.prompts)
    refuse_sources(prompts)
    check_vocabulary(prompts, config.model)
    check_needs(config.prompts, prompts.prompts, [reward_class or lookup.get(config.reward)])
    model, reward_class = model or models.find(config.model), reward_class or lookup.require(config.reward)
    pairs: str | PairsToMake | None = None
    if config.pairs is not None:
        pairs = look_up_pairs(config.pairs, {config.prompts: prompts}, {config.reward: reward_class})
        if isinstance(pairs, PairsToMake):
            check_vocabulary(pairs.prompts, config.model)
            lookup.check_base(pairs.reward, config.model)
            check_needs(pairs.prompts.name, pairs.prompts.prompts, [pairs.reward])
    return Inputs(method, cfg, reward_class, prompts, model, pairs)


def check(config: RunConfig, device: str | None = None) -> list[str]:
    """Raises UsageError for a run that cannot be trained; returns what is missing on this machine, with its remedy.

    These are the checks of ``look_up``, without the files: a dry run plans for a machine that has them. A GPU
    counts as a file.
    """
    if device is not None and not device.startswith("cuda"):
        pick_device(device)
    check_fit(config, lookup.get(config.reward))
    missing: list[str] = []

    def unless_missing(look_up: Callable[[], T]) -> T | None:
        try:
            return look_up()
        except MissingError as error:
            missing.append(f"{error.problem}: {error.remedy}")
            return None

    prompts = unless_missing(lambda: prompt_sets.load(config.prompts))
    if prompts:
        refuse_sources(prompts)
        check_vocabulary(prompts, config.model)
        check_needs(config.prompts, prompts.prompts, [lookup.get(config.reward)])
    unless_missing(lambda: lookup.require(config.reward))
    reference = config.pairs
    pairs = unless_missing(lambda: look_up_pairs(reference)) if reference is not None else None
    if isinstance(pairs, PairsToMake):
        check_vocabulary(pairs.prompts, config.model)
        lookup.check_base(pairs.reward, config.model)
    return missing
