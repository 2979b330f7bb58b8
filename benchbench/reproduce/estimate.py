"""What a plan takes: images, UNet evaluations, and, where there are figures of the machine, the time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from benchbench import defaults
from benchbench.config import RunConfig
from benchbench.protocols import PROTOCOLS
from benchbench.reproduce.measurement_job import IMAGES
from benchbench.reproduce.plan import Measurement, Plan
from benchbench.runtime.progress import duration

if TYPE_CHECKING:
    from benchbench.train.cost_estimate import Price


def training_seconds(config: RunConfig) -> float:
    """Seconds of one core; 0 for a model without figures."""
    return _training(config) * (defaults.of(config.model).seconds_per_evaluation or 0.0)


def seconds(cells: Plan) -> float:
    """Of the work left, on one core: every training that is not done, and every measurement. 0: no figures."""
    each = defaults.of(cells.track.model).seconds_per_evaluation
    if each is None:
        return 0.0
    train = sum(training_seconds(t.config) for t in cells.trainings if not t.done)
    return train + evaluations(cells)[1] * each


def once(measurements: Sequence[Measurement]) -> list[Measurement]:
    """One of those that look at the same images under several rewards: the images are made once."""
    return list({(m.runs, m.prompts, m.block.images): m for m in measurements}.values())


def evaluations(cells: Plan) -> tuple[int, int]:
    """Guided UNet evaluations, gradients as ``Cost.nfe`` counts them: of the trainings, and of the evaluated images."""
    train = sum(_training(t.config) for t in cells.trainings)
    steps = (cells.track.sampler or {}).get("steps")
    own = {str(t.out): t.config.sampler.steps for t in cells.trainings}

    def used(one: Measurement) -> int:
        return int(steps or own.get(next(iter(one.runs), ""), 20))

    if cells.spec.protocol == "curve":
        return round(train), 0
    if cells.spec.protocol in IMAGES:
        return round(train), sum(m.images * used(m) for m in once(cells.measurements))
    return round(train), round(sum(_look(cells, m, used(m)) for m in cells.measurements))


def _look(cells: Plan, one: Measurement, steps: int) -> float:
    """Of a protocol of its own, which measures each reward and each training by itself."""
    from benchbench.reproduce.jobs import cell

    protocol = PROTOCOLS[cells.spec.protocol]
    found = protocol.cost(cell(cells, one, {one.row: list(one.runs)}, list(one.rewards)).its_settings(), steps)
    return found.nfe * len(one.rewards) * max(1, len(one.runs))


def _training(config: RunConfig) -> float:
    """Guided UNet evaluations of a training and of its fixed evaluations."""
    from benchbench.train.cost_estimate import fixed_evaluations

    rollout = _price(_same(config))
    return rollout.nfe * config.samples + fixed_evaluations(config, rollout)


def _same(config: RunConfig) -> str:
    """The settings without what does not change the price."""
    return config.model_copy(update={"seed": 0, "samples": 1}).model_dump_json()


@cache
def _price(config: str) -> Price:
    from benchbench.train.cost_estimate import price

    return price(RunConfig.model_validate_json(config))


def describe(cells: Plan, jobs: int) -> list[str]:
    """The plan in lines."""
    left = sum(not t.done for t in cells.trainings)
    methods = ", ".join(dict.fromkeys(t.config.method for t in cells.trainings)) or "none"
    samples = sum(t.config.samples for t in cells.trainings)
    measured = 0 if cells.spec.protocol == "curve" else len(cells.measurements)  # curves are logged by trainings
    looks = ""
    if cells.spec.protocol in IMAGES:
        looks = f", {sum(m.images for m in once(cells.measurements)):,} evaluated images"
    time = seconds(cells)
    about = f", about {duration(time / jobs)} in all" if time else ""
    return [
        f"{len(cells.trainings)} trainings ({left} left) and {measured} measurements, {jobs} at a time{about}",
        f"methods: {methods}; {samples:,} training images{looks}",
    ]


def work(cells: Plan) -> str:
    """The UNet evaluations of a plan, in a line."""
    train, look = evaluations(cells)
    return (
        f"guided UNet evaluations: {train:,} of trainings, {look:,} of measurements; a gradient counts as what it costs"
    )
