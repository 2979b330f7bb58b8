"""Equal work for every method: how many images of a method cost what so many images of DDPO do.

Imports the count of a rollout's work, which loads torch, inside a function: wrong names in a sweep are told before.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from benchbench import config as configs
from benchbench.config import RunConfig
from benchbench.errors import UsageError

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
    """Images of the method that cost no more than ``nfe``."""


def equal_budget(own: RunConfig, images: int) -> Budget:
    """Returns the budget of a method: how many of its images cost what ``images`` of the baseline do.

    An evaluation with a gradient counts by its FLOPs, as in the counters of a run. Errors: UsageError where the work of
    the baseline is not enough for one image.
    """
    from benchbench.train.cost_estimate import rollout_cost

    baseline = rollout_cost(configs.load(BASELINE, own.model, own.reward, own.prompts, images, 0))
    cost = rollout_cost(own)
    nfe, group = baseline.nfe * images, own.method_class.images(own.method_config)
    samples = int(nfe / cost.nfe) // group * group
    if not samples:
        one = f"one sample of {own.method} costs {cost.nfe * group:,.0f}"
        cause = f"{images} images of {BASELINE} cost {nfe:,.0f} network evaluations; {one}"
        raise UsageError("the budget is too small", cause, "raise --budget")
    return Budget(
        baseline_images=images,
        nfe=round(nfe, 2),
        baseline_reward_calls=round(baseline.reward_calls * images, 2),
        nfe_per_image=round(cost.nfe, 4),
        reward_calls_per_image=round(cost.reward_calls, 4),
        samples=samples,
    )
