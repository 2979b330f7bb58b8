"""The jobs of a plan: an idempotent command for each training and each measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchbench.reproduce import estimate
from benchbench.reproduce.measurement_spec import measurement_spec
from benchbench.reproduce.plan import Plan, PlannedMeasurement, PlannedTraining
from benchbench.reproduce.train_command import train_command, training_log
from benchbench.runtime.hashing import digest
from benchbench.runtime.jobs import Failure, Job


def training_jobs(plan: Plan, store: Path) -> list[Job]:
    """Returns ``bench train --resume`` of every training that is not done."""
    return [_training_job(training, store) for training in plan.trainings if not training.done]


def _training_job(training: PlannedTraining, store: Path) -> Job:
    config = training.config
    name = f"{training.row} on {config.reward}, seed {config.seed}"
    weight = estimate.training_seconds(config) or float(config.samples)
    command = train_command(config, training.overrides, training.out, store)
    return Job(name, command, training_log(training.out, store), weight)


def measurement_jobs(plan: Plan, store: Path) -> list[Job]:
    """Returns a job for each row and prompt set, with all of its rewards; the base model's first: every row needs it.

    Curves need none: they are what the trainings logged.
    """
    return [_measurement_job(merged, plan, store) for merged in _merged(plan)]


def _merged(plan: Plan) -> list[list[PlannedMeasurement]]:
    """Returns the measurements by job: those that look at the same images under other rewards share one."""
    if plan.spec.protocol == "curve":
        return []
    merged: dict[tuple[str, ...], list[PlannedMeasurement]] = {}
    for measurement in plan.measurements:
        key = (measurement.row, measurement.prompts, str(measurement.block.images), *measurement.runs)
        merged.setdefault(key, []).append(measurement)
    return sorted(merged.values(), key=lambda measurements: bool(measurements[0].runs))


def _measurement_job(measurements: list[PlannedMeasurement], plan: Plan, store: Path) -> Job:
    first = measurements[0]
    rewards = list(dict.fromkeys(reward for measurement in measurements for reward in measurement.rewards))
    spec = measurement_spec(plan, first, {first.row: list(first.runs)}, rewards)
    return Job(
        f"{first.row} on {first.prompts}",
        ("benchbench.reproduce.measurement_job", str(store), spec.model_dump_json()),
        store / "logs" / f"measure-{digest(spec.model_dump(mode='json'))}.log",
        float(first.images),
        exclusive=plan.spec.protocol == "cost",  # side by side they would slow each other down
    )


def without_failed(plan: Plan, failures: Sequence[Failure], store: Path) -> Plan:
    """Returns the plan without what failed: a row keeps the trainings that it has; one that has none is left out.

    What is left out is added to ``skipped``, with the reason.
    """
    errors = {failure.job.log: failure.error for failure in failures}
    lost = {str(t.out): error for t in plan.trainings if (error := errors.get(training_log(t.out, store)))}
    unmeasured = {
        (measurement.row, measurement.group, measurement.block.prompts): error
        for measurements in _merged(plan)
        if (error := errors.get(_measurement_job(measurements, plan, store).log))
        for measurement in measurements
    }
    kept, skipped = [], list(plan.skipped)
    for measurement in plan.measurements:
        runs = tuple(run for run in measurement.runs if run not in lost)
        reasons = [lost[run] for run in measurement.runs if run in lost]
        failed = unmeasured.get((measurement.row, measurement.group, measurement.block.prompts))
        skipped += [f"{error.problem}: {error.cause}" for error in (*reasons, *([failed] if failed else []))]
        if not failed and (runs or not measurement.runs):
            kept.append(replace(measurement, runs=runs))
    trainings = tuple(t for t in plan.trainings if str(t.out) not in lost)
    return replace(plan, trainings=trainings, measurements=tuple(kept), skipped=tuple(dict.fromkeys(skipped)))
