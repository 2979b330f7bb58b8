"""What a plan takes: images, UNet evaluations, and, where there are figures of the machine, the time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from benchbench import defaults
from benchbench.config import RunConfig
from benchbench.protocols import PROTOCOLS
from benchbench.reproduce.measurement_job import IMAGE_PROTOCOLS
from benchbench.reproduce.measurement_spec import measurement_spec
from benchbench.reproduce.plan import Plan, PlannedMeasurement
from benchbench.runtime.progress import duration

if TYPE_CHECKING:
    from benchbench.train.cost_estimate import RolloutCost


def training_seconds(config: RunConfig) -> float:
    """Returns the seconds of one core that a training takes; 0 for a model without figures."""
    return _training_evaluations(config) * (defaults.of(config.model).seconds_per_evaluation or 0.0)


def seconds(plan: Plan) -> float:
    """Returns the seconds of one core for trainings that are not done and for every measurement; 0: no figures."""
    each = defaults.of(plan.track.model).seconds_per_evaluation
    if each is None:
        return 0.0
    train = sum(training_seconds(t.config) for t in plan.trainings if not t.done)
    return train + unet_evaluations(plan)[1] * each


def distinct_images(measurements: Sequence[PlannedMeasurement]) -> list[PlannedMeasurement]:
    """Returns one of those that look at the same images under several rewards: the images are made once."""
    return list({(m.runs, m.prompts, m.block.images): m for m in measurements}.values())


def unet_evaluations(plan: Plan) -> tuple[int, int]:
    """Returns the guided UNet evaluations of trainings and of measurements; gradients as ``Cost.nfe`` counts them."""
    train = sum(_training_evaluations(t.config) for t in plan.trainings)
    steps = (plan.track.sampler or {}).get("steps")
    trained = {str(t.out): t.config.sampler.steps for t in plan.trainings}

    def steps_of(measurement: PlannedMeasurement) -> int:
        return int(steps or trained.get(next(iter(measurement.runs), ""), 20))

    if plan.spec.protocol == "curve":
        return round(train), 0
    if plan.spec.protocol in IMAGE_PROTOCOLS:
        return round(train), sum(m.images * steps_of(m) for m in distinct_images(plan.measurements))
    return round(train), round(sum(_protocol_evaluations(plan, m, steps_of(m)) for m in plan.measurements))


def _protocol_evaluations(plan: Plan, measurement: PlannedMeasurement, steps: int) -> float:
    """Guided UNet evaluations of a protocol that measures each reward and each training by itself."""
    spec = measurement_spec(plan, measurement, {measurement.row: list(measurement.runs)}, list(measurement.rewards))
    price = PROTOCOLS[plan.spec.protocol].cost(spec.protocol_settings(), steps)
    return price.nfe * len(measurement.rewards) * max(1, len(measurement.runs))


def _training_evaluations(config: RunConfig) -> float:
    """Returns the guided UNet evaluations of a training and of its fixed evaluations."""
    from benchbench.train.cost_estimate import fixed_evaluations

    rollout = _price(_priced_settings(config))
    return rollout.nfe * config.samples + fixed_evaluations(config, rollout)


def _priced_settings(config: RunConfig) -> str:
    """Returns the settings without what does not change the price of an image."""
    return config.model_copy(update={"seed": 0, "samples": 1}).model_dump_json()


@cache
def _price(config: str) -> RolloutCost:
    from benchbench.train.cost_estimate import rollout_cost

    return rollout_cost(RunConfig.model_validate_json(config))


def describe(plan: Plan, jobs: int) -> list[str]:
    """Returns the plan in lines."""
    left = sum(not t.done for t in plan.trainings)
    methods = ", ".join(dict.fromkeys(t.config.method for t in plan.trainings)) or "none"
    samples = sum(t.config.samples for t in plan.trainings)
    measured = 0 if plan.spec.protocol == "curve" else len(plan.measurements)  # curves are logged by trainings
    images = ""
    if plan.spec.protocol in IMAGE_PROTOCOLS:
        images = f", {sum(m.images for m in distinct_images(plan.measurements)):,} evaluated images"
    time = seconds(plan)
    about = f", about {duration(time / jobs)} in all" if time else ""
    return [
        f"{len(plan.trainings)} trainings ({left} left) and {measured} measurements, {jobs} at a time{about}",
        f"methods: {methods}; {samples:,} training images{images}",
    ]


def work_line(plan: Plan) -> str:
    """Returns the UNet evaluations of a plan, in a line."""
    train, measure = unet_evaluations(plan)
    counts = f"{train:,} of trainings, {measure:,} of measurements"
    return f"guided UNet evaluations: {counts}; a gradient counts as what it costs"
