"""A plan's cells as commands for the pool: each idempotent, each in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchbench import registry
from benchbench.errors import BenchError
from benchbench.reproduce import estimate
from benchbench.reproduce.measurement_job import IMAGES, Cell
from benchbench.reproduce.plan import Measurement, Plan, Training
from benchbench.runtime import jobs
from benchbench.runtime.hashing import digest


def trainings(cells: Plan, store: Path) -> list[jobs.Task]:
    """``bench train --resume`` of every training that is not done."""
    return [_train(training, store) for training in cells.trainings if not training.done]


def _train(training: Training, store: Path) -> jobs.Task:
    c = training.config
    words = ["benchbench", "train", "--method", c.method, "--model", c.model, "--reward", c.reward]
    words += ["--prompts", c.prompts, "--samples", str(c.samples), "--seed", str(c.seed), "--store", str(store)]
    words += ["--preset", c.preset, *(["--pairs", c.pairs] if c.pairs else [])]
    for override in training.overrides:
        words += ["--set", override]
    words += ["--out", str(training.out), "--resume"]
    name = f"{training.row} on {c.reward}, seed {c.seed}"
    return jobs.Task(name, words, estimate.training_seconds(c) or float(c.samples), _log_of(training, store))


def _log_of(training: Training, store: Path) -> Path:
    return store / "logs" / f"{training.out.name}.log"


def measurements(cells: Plan, store: Path) -> list[jobs.Task]:
    """One for each row and prompt set, with all of its rewards; the base model's first, which every row needs.

    Curves need none: they are what the trainings logged.
    """
    return [_measure(part, cells, store) for part in _parts(cells)]


def _parts(cells: Plan) -> list[list[Measurement]]:
    if cells.spec.protocol == "curve":
        return []
    merged: dict[tuple[str, ...], list[Measurement]] = {}
    for one in cells.measurements:
        merged.setdefault((one.row, one.prompts, str(one.block.images), *one.runs), []).append(one)
    return sorted(merged.values(), key=lambda part: bool(part[0].runs))


def _measure(part: list[Measurement], cells: Plan, store: Path) -> jobs.Task:
    first = part[0]
    rewards = list(dict.fromkeys(reward for one in part for reward in one.rewards))
    found = cell(cells, first, {first.row: list(first.runs)}, rewards)
    words = ["benchbench.reproduce.measurement_job", str(store), found.model_dump_json()]
    log = store / "logs" / f"measure-{digest(found.model_dump(mode='json'))}.log"
    return jobs.Task(f"{first.row} on {first.prompts}", words, float(first.images), log)


def cell(cells: Plan, like: Measurement, rows: dict[str, list[str]], rewards: list[str]) -> Cell:
    """Rows on one prompt set under the table's protocol; images are always scored by the gold reward too."""
    protocol, gold = cells.spec.protocol, cells.track.gold
    own: dict[str, str | None] = {}
    if protocol == "cost":
        method = cells.spec.rows[like.row].method or ""
        own = {"method": method}
        if registry.get("methods", method).data == "offline":
            own["pairs"] = cells.track.pairs
    return Cell(
        protocol=protocol,
        model=cells.track.model,
        rows=rows,
        prompts=like.prompts,
        images=like.block.images,
        rewards=[*rewards, gold] if gold and protocol in IMAGES and gold not in rewards else rewards,
        sampler=cells.track.sampler,
        settings={**cells.track.settings, **own},
        quick=cells.quick,
        dtype=cells.dtype,
    )


def without(cells: Plan, failed: Sequence[tuple[jobs.Task, BenchError]], store: Path) -> Plan:
    """The plan without what failed: a row goes on with the trainings that it has; one that has none is left out.

    What is left out is added to ``skipped``, with the reason.
    """
    why = {task.log: error for task, error in failed}
    lost = {str(t.out): error for t in cells.trainings if (error := why.get(_log_of(t, store)))}
    unmeasured = {
        (one.row, one.group, one.block.prompts): error
        for part in _parts(cells)
        if (error := why.get(_measure(part, cells, store).log))
        for one in part
    }
    kept, skipped = [], list(cells.skipped)
    for one in cells.measurements:
        runs = tuple(run for run in one.runs if run not in lost)
        errors = [lost[run] for run in one.runs if run in lost]
        missed = unmeasured.get((one.row, one.group, one.block.prompts))
        skipped += [f"{error.problem}: {error.cause}" for error in (*errors, *([missed] if missed else []))]
        if not missed and (runs or not one.runs):
            kept.append(replace(one, runs=runs))
    trainings = tuple(t for t in cells.trainings if str(t.out) not in lost)
    return replace(cells, trainings=trainings, measurements=tuple(kept), skipped=tuple(dict.fromkeys(skipped)))
