"""Reads from the runs and status files of a store what each job of a table is doing, whoever runs the jobs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from benchbench.reproduce.plan import Plan, PlannedTraining
from benchbench.reproduce.plan_jobs import measurement_jobs, training_job
from benchbench.runtime.attempts import LastAttempt, State, last_attempt
from benchbench.runtime.locks import holder
from benchbench.store import runs
from benchbench.store.metrics import last_metrics
from benchbench.store.run_file import RUN


@dataclass(frozen=True)
class JobStatus:
    """The state of one job, with a text that says where it runs, how far it is or why it failed."""

    name: str
    state: State
    about: str = ""


def job_status(plan: Plan, store: Path) -> list[JobStatus]:
    """Returns the state of every training and measurement of a plan.

    A training is done once its run is complete in the store; a measurement, once its last attempt ended well or a
    command found it complete.
    """
    trainings = [_of_training(training, store) for training in plan.trainings]
    measured = [(job.name, last_attempt(job.status)) for job in measurement_jobs(plan, store)]
    return trainings + [_status(name, attempt) for name, attempt in measured]


def again(plan: Plan) -> Plan:
    """Returns the plan with trainings that look into the store again, where they were not done."""
    return replace(plan, trainings=tuple(t if t.done else replace(t) for t in plan.trainings))


def _of_training(training: PlannedTraining, store: Path) -> JobStatus:
    job = training_job(training, store)
    if training.done:
        return JobStatus(job.name, "done")
    attempt = last_attempt(job.status)
    if attempt.state in ("running", "failed"):
        return _status(job.name, attempt)
    process, _, _ = holder(runs.lock_of(training.out)).strip(" (").partition(":")  # bench train has no status file
    samples = last_metrics(training.out).get("samples", 0)
    share = samples / training.config.samples if isinstance(samples, int) else 0.0
    progress = max(share, attempt.progress if attempt.state == "stopped" else 0.0)
    if process:
        return _status(job.name, LastAttempt("running", progress, f"process {process}"))
    started = attempt.state == "stopped" or (training.out / RUN).exists()
    return _status(job.name, LastAttempt("stopped" if started else "left", progress))


def _status(name: str, attempt: LastAttempt) -> JobStatus:
    percent = f"{100 * attempt.progress:.0f} %"
    if attempt.state == "running":
        return JobStatus(name, "running", f"{percent}, {attempt.where}")
    if attempt.state == "stopped":
        return JobStatus(name, "stopped", f"at {percent}; the same command goes on")
    error = attempt.error
    return JobStatus(name, attempt.state, f"{error.problem} ({error.cause}); {error.remedy}" if error else "")
