"""Equal work for every method: how many images of a method cost what so many images of DDPO do.

Imports the count of a rollout's work, which loads torch, inside a function: wrong names in a sweep are told before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_serializer

from benchbench import config as configs
from benchbench.config import RunConfig
from benchbench.errors import UsageError
from benchbench.pairs.look_up import is_made, made_images
from benchbench.samplers import default_sampler

BASELINE = "ddpo"
"""The method in whose images a budget is given."""


class Budget(BaseModel):
    """The work of a training, which is the same for each method."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    baseline_images: int = Field(gt=0)
    nfe: float
    """Guided network evaluations of so many images of the baseline."""
    baseline_reward_calls: float
    nfe_per_image: float
    """Guided network evaluations of an image of the method."""
    reward_calls_per_image: float
    samples: int = Field(gt=0)
    """Images of the method that cost no more than ``nfe``, less ``pairs_nfe``."""
    pairs_nfe: float = Field(0.0, ge=0)
    """Guided network evaluations of the images of its preference pairs; 0 where they do not count."""

    @model_serializer(mode="wrap")
    def _without_unused(self, dump: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Leaves out ``pairs_nfe`` where it is 0, so that searches have the names that they always had."""
        return {key: value for key, value in dump(self).items() if key != "pairs_nfe" or value}


def equal_budget(own: RunConfig, images: int, *, count_pairs: bool = False) -> Budget:
    """Returns the budget of a method: how many of its images cost what ``images`` of the baseline do.

    An evaluation with a gradient counts by its FLOPs, as in the counters of a run. With ``count_pairs`` the images of
    pairs that are made of the base model count, too. Errors: UsageError where the work of the baseline is not enough
    for one image, MissingError for prompts of pairs that are not here.
    """
    from benchbench.train.cost_estimate import rollout_cost

    baseline = rollout_cost(configs.load(BASELINE, own.model, own.reward, own.prompts, images, 0))
    cost = rollout_cost(own)
    nfe, group = baseline.nfe * images, own.method_class.images(own.method_config)
    pairs_nfe = pairs_work(own.model, own.pairs).nfe if count_pairs else 0.0
    samples = max(0, int((nfe - pairs_nfe) / cost.nfe)) // group * group
    if not samples:
        one = f"one sample of {own.method} costs {cost.nfe * group:.4g}"
        one += f" after {pairs_nfe:,.0f} for the images of its pairs" if pairs_nfe else ""
        cause = f"{images} images of {BASELINE} cost {nfe:,.0f} network evaluations; {one}"
        fewer = ", or name pairs of fewer images: made:PROMPTS:REWARD:IMAGES" if pairs_nfe else ""
        raise UsageError(f"the budget is too small for {own.method}", cause, f"raise the budget{fewer}")
    return Budget(
        baseline_images=images,
        nfe=round(nfe, 2),
        baseline_reward_calls=round(baseline.reward_calls * images, 2),
        nfe_per_image=round(cost.nfe, 4),
        reward_calls_per_image=round(cost.reward_calls, 4),
        samples=samples,
        pairs_nfe=pairs_nfe,
    )


class Work(NamedTuple):
    """Guided network evaluations, and calls of rewards."""

    nfe: float
    reward_calls: float


def pairs_work(model: str, reference: str | None) -> Work:
    """Returns the work of pairs that are made of images of the base model; none for pairs that are given.

    Errors: UsageError and MissingError for prompts that are not here.
    """
    if reference is None or not is_made(reference):
        return Work(0.0, 0.0)
    images = made_images(reference)
    return Work(float(images * default_sampler(model).steps), float(images))
