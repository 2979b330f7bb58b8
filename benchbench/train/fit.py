"""Checks that a method, its model, reward and number of images fit together, before anything is announced."""

from __future__ import annotations

from benchbench.config import RunConfig
from benchbench.errors import UsageError
from benchbench.rewards import lookup
from benchbench.samplers import FlowSampler
from benchbench.types import Reward, StepScorer


def check_fit(config: RunConfig, reward_class: type[Reward]) -> None:
    """Raises UsageError for a model, a reward or a number of images that the method cannot be trained on."""
    _check_model(config)
    _check_reward(config, reward_class)
    _check_samples(config)


def _check_model(config: RunConfig) -> None:
    """Raises UsageError for a kind of model, diffusion or flow matching, that the method's settings do not fit."""
    reason = config.method_class.refuses(config.method_config, flow=isinstance(config.sampler, FlowSampler))
    if reason:
        raise UsageError(
            f"{config.method} cannot be trained on {config.model} with these settings",
            reason,
            f"see every setting and its default: bench show method {config.method}",
        )


def _check_reward(config: RunConfig, reward_class: type[Reward]) -> None:
    """Raises UsageError for a reward that the method cannot be trained on."""
    lookup.check_base(reward_class, config.model)
    if not reward_class.trainable:
        raise UsageError(
            f"{config.reward} is a gold reward and is never trained on",
            "reward hacking is measured against it",
            "train on another reward: bench list rewards",
        )
    needs = config.method_class.needs(config.method_config)
    if "reward_gradient" in needs and not reward_class.differentiable:
        raise UsageError(
            f"{config.method} needs a differentiable reward, and {config.reward} is not",
            "it follows the gradient of the reward",
            "use a method that only compares scores, such as tailorpo, or a differentiable reward: bench list rewards",
        )
    if "step_scorer" in needs and not issubclass(reward_class, StepScorer):
        raise UsageError(
            f"{config.method} needs a step-aware reward, and {config.reward} is not",
            "its scorer needs the timestep of the sample that it scores",
            f"use --reward {lookup.step_reward(config.model)}, or score predicted images with any reward: "
            "--set method.step_aware=false",
        )


def _check_samples(config: RunConfig) -> None:
    """Raises UsageError for a number of images that the method cannot generate."""
    images = config.method_class.images(config.method_config)
    if config.samples % images:
        raise UsageError(
            f"--samples {config.samples} cannot be made by {config.method}",
            f"it generates {images} images at a time",
            f"use --samples {-(-config.samples // images) * images}",
        )
