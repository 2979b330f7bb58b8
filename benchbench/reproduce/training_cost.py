"""The cost of trainings: network evaluations and, for models whose speed is known (defaults), time on one core.

It loads no model, pandas or diffusers: `bench status` asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from benchbench import defaults
from benchbench.config import RunConfig
from benchbench.reproduce.plan import PlannedMeasurement
from benchbench.train.cost_estimate import RolloutCost, fixed_evaluations, rollout_cost


def training_seconds(config: RunConfig) -> float:
    """Returns the seconds that a training takes on one core; 0 for a model whose speed is not known."""
    return training_evaluations(config) * (defaults.of(config.model).seconds_per_evaluation or 0.0)


def training_evaluations(config: RunConfig) -> float:
    """Returns the guided network evaluations of a training and of its fixed evaluations."""
    rollout = _price(_priced_settings(config))
    return rollout.nfe * config.samples + fixed_evaluations(config, rollout)


def distinct_images(measurements: Sequence[PlannedMeasurement]) -> list[PlannedMeasurement]:
    """Returns one measurement for each set of images; several rewards share the same images."""
    return list({(m.runs, m.prompts, m.images_per_prompt): m for m in measurements}.values())


def _priced_settings(config: RunConfig) -> str:
    """Returns the settings as JSON, without what does not change the price of an image: seed, samples, and names.

    A table trains each method on each of its rewards, and one rollout tells the price for all of them.
    """
    same: dict[str, object] = {"seed": 0, "samples": 1, "reward": "any", "prompts": "any", "pairs": None}
    return config.model_copy(update=same).model_dump_json()


@cache
def _price(config: str) -> RolloutCost:
    return rollout_cost(RunConfig.model_validate_json(config))
