"""``bench tune``: plans the search, trains, measures, chooses, and writes the report and the preset."""

from __future__ import annotations

from pathlib import Path

import yaml

from benchbench.errors import RunError
from benchbench.hub import models
from benchbench.report.page_file import page_file
from benchbench.reproduce import estimate
from benchbench.reproduce.measurement_job import MeasurementSpec
from benchbench.reproduce.missing import missing
from benchbench.reproduce.plan import Plan
from benchbench.reproduce.run import complete
from benchbench.runtime.backends.choice import BackendChoice
from benchbench.runtime.files import Log, write_atomic
from benchbench.runtime.hashing import one_hash_cache
from benchbench.tune import preset_file, report
from benchbench.tune.outcome import outcome
from benchbench.tune.plan import make_plan
from benchbench.tune.search import IMAGES, Search
from benchbench.tune.sentences import answer, budget_sentence, notes, remarks, rule


def tune(
    search: Search,
    store: Path,
    *,
    out: Path | None = None,
    where: BackendChoice | None = None,
    dry_run: bool = False,
    log: Log = print,
) -> Path | None:
    """Runs what is left of a search, writes its report and the preset, and returns the preset; None after a dry run.

    Without ``out`` the preset lies beside the search's file. Errors: UsageError for an ``out`` that holds something
    else, RunError where no checkpoint may be chosen, and those of training and measuring.
    """
    file, place = search.file(store), out or search.file(store).with_name(f"{search.name}.preset.yaml")
    preset_file.check_place(place, search)
    plan, where = make_plan(search, store), where or BackendChoice()
    if not dry_run:
        models.pipeline_folder(search.model)  # raises where the model is missing
    useful = max(len(plan.trainings), len(search.rates))
    slots = where.slots(useful)
    _announce(search, plan, slots, log)
    if dry_run:
        log(estimate.work_line(plan))
        for training in plan.trainings:
            log(f"{'done' if training.done else 'left'}: {training.out.name}")
        return None
    backend = where.backend(useful)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, yaml.safe_dump(search.model_dump(mode="json"), sort_keys=False).encode())
    log(f"to see each job: bench status {file}")
    plan, errors = complete(plan, store, backend)
    return _conclude(search, plan, store, place, [f"{error.problem}: {error.cause}" for error in errors], log)


def _announce(search: Search, plan: Plan, slots: int, log: Log) -> None:
    """Prints what will be done, by which rule, and what this machine lacks."""
    log(
        f"searching the learning rate of {search.method} on {search.model} for {search.reward}: rates "
        f"{', '.join(f'{rate:g}' for rate in search.rates)}, seeds {', '.join(map(str, search.seeds))}"
    )
    log(budget_sentence(search))
    log(f"chosen will be {rule(search)}")
    for line in notes(search):
        log(f"note: {line}")
    for line in estimate.describe(plan, slots):
        log(line)
    for line in missing(plan):
        log(f"missing: {line}")


def _conclude(search: Search, plan: Plan, store: Path, place: Path, errors: list[str], log: Log) -> Path:
    """Chooses, writes the report and the preset, and returns the preset. Errors: RunError without a choice."""
    rows = {m.row: [Path(run).relative_to(store / "runs").as_posix() for run in m.runs] for m in plan.measurements}
    spec = MeasurementSpec(
        protocol="reward-table",
        model=search.model,
        rows=rows,
        prompts=search.validation,
        images=IMAGES,
        rewards=list(plan.rewards),
    )
    with one_hash_cache():
        measured = spec.measure_images(store, lambda line: None)  # the jobs have said what there is to say
        found = outcome(search, plan, measured.frames)
        page = report.write(search, found, measured, store)
        if found.chosen:
            preset_file.write(place, search, plan, found, measured, page)
    for line in (*errors, answer(search, found), *remarks(search, found)):
        log(line)
    log(f"report: {page_file(page, False)}")
    if not found.chosen:
        raise RunError("the search has no winner", answer(search, found), "search other rates: --rates")
    log(f"preset: {place}")
    log(f"train with it: bench train --method {search.method} --model {search.model} --preset {place}")
    return place
