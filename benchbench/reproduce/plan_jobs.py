"""The jobs of a plan: one command for each training and each measurement, which does only what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchbench import defaults
from benchbench.reproduce.job_files import measurement_files, training_files
from benchbench.reproduce.measurement_job import IMAGE_PROTOCOLS, MeasurementSpec
from benchbench.reproduce.measurement_spec import measurement_spec
from benchbench.reproduce.plan import Plan, PlannedMeasurement, PlannedTraining
from benchbench.reproduce.train_command import train_command, training_log
from benchbench.reproduce.training_cost import training_seconds
from benchbench.runtime.hashing import digest
from benchbench.runtime.jobs import Failure, Job
from benchbench.runtime.status import record_done
from benchbench.samplers import default_sampler, steps_taken


def training_jobs(plan: Plan, store: Path) -> list[Job]:
    """Returns a job for every training that is not done."""
    return [training_job(training, store) for training in plan.trainings if not training.done]


def training_job(training: PlannedTraining, store: Path) -> Job:
    """Returns the job of a training, which continues what its folder holds."""
    config = training.config
    name = f"{training.row} on {config.reward}, seed {config.seed}"
    weight = training_seconds(config) or float(config.samples)
    command = train_command(config, training.overrides, training.out, store)
    files = training_files(training.out, bool(config.pairs), store)
    return Job(name, command, training_log(training.out, store), weight, files=files)


def measurement_jobs(plan: Plan, store: Path) -> list[Job]:
    """Returns a job for each row and prompt set, with all of its rewards.

    The base model comes first, since every row is compared with it. Curves need no job: trainings log them.
    """
    return [
        _measurement_job(_spec(measurements, plan, store), measurements[0], store) for measurements in grouped(plan)
    ]


def jobs_before_measuring(plan: Plan, store: Path) -> list[Job]:
    """Returns the trainings that are not done, after the open measurements of the base model, which need none of them.

    Thus the first number on the screen comes before the first training ends. Weights are in seconds, where these are
    known.
    """
    trainings = training_jobs(plan, store)
    if not trainings or plan.spec.protocol not in IMAGE_PROTOCOLS:
        return trainings
    of_base = replace(plan, measurements=tuple(m for m in plan.measurements if not m.runs))
    steps = steps_taken(plan.track.sampler or {}) or default_sampler(plan.track.model).steps
    seconds_an_image = steps * (defaults.of(plan.track.model).seconds_per_evaluation or 1.0)
    measurements = open_measurement_jobs(of_base, store)
    return [*(replace(job, weight=job.weight * seconds_an_image) for job in measurements), *trainings]


def open_measurement_jobs(plan: Plan, store: Path) -> list[Job]:
    """Returns the measurement jobs whose work the store lacks; the status of the others then says that they are done.

    This process looks into the store itself: a process for each measurement would take longer than looking.
    """
    specs = [(_spec(measurements, plan, store), measurements[0]) for measurements in grouped(plan)]
    jobs = {_measurement_job(spec, first, store): spec.is_complete(store) for spec, first in specs}
    for job, complete in jobs.items():
        if complete:
            record_done(job.status)
    return [job for job, complete in jobs.items() if not complete]


def grouped(plan: Plan) -> list[list[PlannedMeasurement]]:
    """Returns the measurements of each job, which a plan counts as one.

    These are those that name the job, or those of the same images under several rewards. Curves are logged by
    trainings, and a study makes its images itself.
    """
    if plan.spec.protocol in ("curve", "study"):
        return []
    grouped: dict[tuple[str, ...], list[PlannedMeasurement]] = {}
    for measurement in plan.measurements:
        job = (measurement.job,) if measurement.job else (measurement.row, *measurement.runs)
        key = (measurement.prompts, str(measurement.images_per_prompt), *job)
        grouped.setdefault(key, []).append(measurement)
    return sorted(grouped.values(), key=lambda measurements: bool(measurements[0].runs))


def _spec(measurements: list[PlannedMeasurement], plan: Plan, store: Path) -> MeasurementSpec:
    """Returns what one job measures: the rows of its measurements, with all of their rewards."""
    rewards = list(dict.fromkeys(reward for measurement in measurements for reward in measurement.rewards))
    rows = {m.row: [_reference(run, store) for run in m.runs] for m in measurements}
    return measurement_spec(plan, measurements[0], rows, rewards)


def _measurement_job(spec: MeasurementSpec, first: PlannedMeasurement, store: Path) -> Job:
    """Returns the job of a measurement; where columns have their own trainings, its name has the column."""
    references = [reference for row in spec.rows.values() for reference in row]
    return Job(
        f"{first.job or first.row} on {first.prompts}{f' ({first.group})' if first.group and first.runs else ''}",
        ("benchbench.reproduce.measurement_job", str(store), spec.model_dump_json()),
        store / "logs" / f"measure-{digest(spec.model_dump(mode='json'))}.log",
        float(first.images * len(spec.rows)),
        exclusive=spec.protocol == "cost",  # parallel jobs would distort the times
        files=measurement_files(spec.protocol, references, first.prompts, store),
    )


def _reference(run: str, store: Path) -> str:
    """Returns the path of a run, or of weights that it kept, in the store's runs; other references as they are."""
    return Path(run).relative_to(store / "runs").as_posix() if Path(run).is_relative_to(store / "runs") else run


def without_failed(plan: Plan, failures: Sequence[Failure], store: Path) -> Plan:
    """Returns the plan without failed trainings and measurements; rows without any training are left out.

    The reasons are added to ``skipped``.
    """
    errors = {failure.job.log: failure.error for failure in failures}
    failed_runs = {str(t.out): error for t in plan.trainings if (error := errors.get(training_log(t.out, store)))}
    failed_measurements = {
        (measurement.row, measurement.group, measurement.block.prompts): error
        for measurements in grouped(plan)
        if (error := errors.get(_measurement_job(_spec(measurements, plan, store), measurements[0], store).log))
        for measurement in measurements
    }
    measured, skipped = [], list(plan.skipped)
    for measurement in plan.measurements:
        runs = tuple(run for run in measurement.runs if run not in failed_runs)
        reasons = [failed_runs[run] for run in measurement.runs if run in failed_runs]
        failure = failed_measurements.get((measurement.row, measurement.group, measurement.block.prompts))
        skipped += [f"{error.problem}: {error.cause}" for error in (*reasons, *([failure] if failure else []))]
        if not failure and (runs or not measurement.runs):
            measured.append(replace(measurement, runs=runs))
    trainings = tuple(t for t in plan.trainings if str(t.out) not in failed_runs)
    return replace(plan, trainings=trainings, measurements=tuple(measured), skipped=tuple(dict.fromkeys(skipped)))
