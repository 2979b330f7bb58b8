"""The cost of a plan: images, network evaluations and, for models whose speed is known (defaults), time on one core."""

from __future__ import annotations

from benchbench import defaults
from benchbench.protocols import PROTOCOLS
from benchbench.reproduce.measurement_job import IMAGE_PROTOCOLS
from benchbench.reproduce.measurement_spec import measurement_spec
from benchbench.reproduce.plan import Plan, PlannedMeasurement
from benchbench.reproduce.plan_jobs import grouped
from benchbench.reproduce.training_cost import distinct_images, training_evaluations, training_seconds
from benchbench.runtime.progress import duration
from benchbench.runtime.words import counted
from benchbench.samplers import steps_taken, trained_with

LARGE = 12  # trainings of Table 2: four methods with three seeds each


def seconds(plan: Plan) -> float:
    """Returns the seconds on one core of every open training and every measurement; 0 where the speed is not known."""
    per_evaluation = defaults.of(plan.track.model).seconds_per_evaluation
    if per_evaluation is None:
        return 0.0
    train = sum(training_seconds(t.config) for t in plan.trainings if not t.done)
    return train + unet_evaluations(plan)[1] * per_evaluation


def unet_evaluations(plan: Plan) -> tuple[int, int]:
    """Returns the guided network evaluations of trainings and of measurements; gradients count as in ``Price.nfe``."""
    train = sum(training_evaluations(t.config) for t in plan.trainings)
    table_steps = steps_taken(plan.track.sampler or {})
    of_images = plan.spec.protocol in (*IMAGE_PROTOCOLS, "study")
    usual = trained_with(plan.track.model, {})
    used = {"": usual} | {str(t.out): t.config.sampler for t in plan.trainings}

    def steps_of(measurement: PlannedMeasurement) -> int:
        sampler = used.get(next(iter(measurement.runs), ""), usual)
        return table_steps or (sampler.evaluation if of_images else sampler.rollout).steps

    if plan.spec.protocol == "curve":
        return round(train), 0
    if of_images:
        return round(train), sum(m.images * steps_of(m) for m in distinct_images(plan.measurements))
    return round(train), round(sum(_protocol_evaluations(plan, m, steps_of(m)) for m in plan.measurements))


def _protocol_evaluations(plan: Plan, measurement: PlannedMeasurement, steps: int) -> float:
    """Returns the guided network evaluations of a protocol that measures each reward and each training separately."""
    spec = measurement_spec(plan, measurement, {measurement.row: list(measurement.runs)}, list(measurement.rewards))
    cost = PROTOCOLS[plan.spec.protocol].cost(spec.protocol_settings(), steps)
    return cost.nfe * len(measurement.rewards) * max(1, len(measurement.runs))


def describe(plan: Plan, jobs: int) -> list[str]:
    """Returns lines that describe a plan of so many parallel jobs: trainings, measurements, images and time."""
    open_trainings = sum(not t.done for t in plan.trainings)
    methods = ", ".join(dict.fromkeys(t.config.method for t in plan.trainings)) or "none"
    samples = sum(t.config.samples for t in plan.trainings)
    measured = len(plan.measurements if plan.spec.protocol == "study" else grouped(plan))
    images = ""
    if plan.spec.protocol in (*IMAGE_PROTOCOLS, "study"):
        images = f", {sum(m.images for m in distinct_images(plan.measurements)):,} evaluated images"
    time = seconds(plan)
    total_time = f", about {duration(time / jobs)} in all" if time else ""
    return [
        f"{counted(len(plan.trainings), 'training')} ({open_trainings} left) and {counted(measured, 'measurement')}, "
        f"{jobs} at a time{total_time}",
        f"methods: {methods}; {samples:,} training images{images}",
    ]


def smaller_line(plan: Plan) -> str:
    """Returns a line that says how to make less of a large plan, and that it can be stopped; empty for a small one."""
    left = sum(not training.done for training in plan.trainings)
    if plan.quick or left <= LARGE:
        return ""
    less = "--quick" if plan.spec.file else "--quick, --train-seeds 0, --rows ROW, --rewards REWARD or --samples 96"
    return f"these are many trainings; for less: {less}. Ctrl-C stops them, and the same command goes on"


def work_line(plan: Plan) -> str:
    """Returns a line with the network evaluations of a plan."""
    train, measure = unet_evaluations(plan)
    counts = f"{train:,} of trainings, {measure:,} of measurements"
    return f"guided network evaluations: {counts}; a gradient counts by its FLOPs"
