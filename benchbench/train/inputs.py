"""What the names of a run stand for: looked up once, and refused here if it can be refused without a weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchbench import prompts as prompt_sets
from benchbench.api import Method, MethodConfig
from benchbench.config import RunConfig
from benchbench.errors import UsageError
from benchbench.evaluate.make_pairs import PairsToMake, look_up_pairs
from benchbench.hub import models
from benchbench.hub.models import LocalModel
from benchbench.prompts.words import check_vocabulary
from benchbench.rewards import lookup
from benchbench.types import PromptSet, Reward, StepScorer


@dataclass(frozen=True)
class Inputs:
    """The objects behind a RunConfig's names. Nothing is loaded."""

    method: type[Method[Any]]
    cfg: MethodConfig
    """The method's settings."""
    reward: type[Reward]
    prompts: PromptSet
    model: LocalModel
    pairs: str | PairsToMake | None
    """What an offline method learns from."""


def look_up(
    config: RunConfig,
    reward: type[Reward] | None = None,
    prompts: PromptSet | None = None,
    model: LocalModel | None = None,
) -> Inputs:
    """Looks up what is not given and checks that the run can be made. Errors: UsageError, MissingError."""
    method, cfg = config.method_class, config.method_config
    _check_reward(config, method, cfg, reward or lookup.get(config.reward))
    _check_samples(config, method, cfg)
    prompts = prompts or prompt_sets.load(config.prompts)
    check_vocabulary(prompts, config.model)
    model, reward = model or models.find(config.model), reward or lookup.require(config.reward)
    pairs: str | PairsToMake | None = None
    if config.pairs is not None:
        pairs = look_up_pairs(config.pairs, {config.prompts: prompts}, {config.reward: reward})
    return Inputs(method, cfg, reward, prompts, model, pairs)


def _check_reward(config: RunConfig, method: type[Method[Any]], cfg: MethodConfig, reward: type[Reward]) -> None:
    """Errors: UsageError for a reward that the method cannot be trained on."""
    if not reward.trainable:
        raise UsageError(
            f"{config.reward} is a gold reward and is never trained on",
            "it is what reward hacking is measured against",
            "train on another reward: bench list rewards",
        )
    needs = method.needs(cfg)
    if "reward_gradient" in needs and not reward.differentiable:
        raise UsageError(
            f"{config.method} needs a differentiable reward, and {config.reward} is not",
            "its guidance follows the gradient of the reward",
            "use tailorpo, which only ranks, or a differentiable reward: bench list rewards",
        )
    if "step_scorer" in needs and not issubclass(reward, StepScorer):
        raise UsageError(
            f"{config.method} needs a step-aware reward, and {config.reward} is not",
            "its judge is told the timestep of the sample that it looks at",
            "use --reward spm, or judge predictions by a plain reward: --set method.step_aware=false",
        )


def _check_samples(config: RunConfig, method: type[Method[Any]], cfg: MethodConfig) -> None:
    """Errors: UsageError for a number of images that the method cannot make."""
    per = method.images(cfg)
    if config.samples % per:
        raise UsageError(
            f"--samples {config.samples} cannot be made by {config.method}",
            f"it makes {per} images at a time",
            f"use --samples {-(-config.samples // per) * per}",
        )
