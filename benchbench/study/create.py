"""Makes a study: generates the pictures, copies them, draws the assignment and freezes study.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from benchbench.errors import UsageError
from benchbench.evaluate.measure import BASE, Generations, Prepared, prepare
from benchbench.hub.models import LocalModel
from benchbench.noise import Noise
from benchbench.runtime.files import Log, replacing_folder
from benchbench.runtime.locks import locked
from benchbench.runtime.words import counted
from benchbench.samplers import Sampler
from benchbench.store.runs import Adapter, find_adapter
from benchbench.study.assignment import assign, standard_count
from benchbench.study.design import Arm, Study
from benchbench.study.folder import FILE, write_study
from benchbench.study.material import attention_checks, compared, copy_pictures
from benchbench.study.request import Request
from benchbench.types import PromptSet


def create(
    folder: Path,
    request: Request,
    model: LocalModel,
    prompts: PromptSet,
    *,
    store: Path,
    sampler: Sampler | Mapping[str, Any] | None = None,
    device: str | None = None,
    dtype: str = "auto",
    log: Log = print,
) -> Study:
    """Makes the study in a new folder and returns it. Errors: UsageError, and those of generating images."""
    _check(folder, request)
    # rows are looked up and compared before anything is generated
    adapters = {label: None if run == BASE else find_adapter(store, run) for label, run in request.rows.items()}
    arms = tuple(_arm(label, adapter) for label, adapter in adapters.items())
    _check_arms(arms)
    prepared = prepare(
        model,
        {label: [adapter] if adapter else [] for label, adapter in adapters.items()},
        prompts,
        (),
        store=store,
        images_per_prompt=request.images_per_prompt,
        eval_seeds=request.eval_seeds,
        sampler=sampler,
        shared_start=request.shared_start,
        device=device,
        dtype=dtype,
        log=log,
    )
    images = prepared.make()
    log(str(prepared.storing["cost"]))
    with locked(folder.parent / f"{folder.name}.lock", log):
        _check(folder, request)
        with replacing_folder(folder) as temporary:
            study = _write(temporary, folder.name, request, model, prompts, prepared, images, arms)
    pages = max(map(len, study.assignment))
    log(
        f"the study {study.name}: {counted(len(study.comparisons), 'pair')}, {counted(study.raters, 'rater')}, "
        f"{pages} pages for a rater, {counted(len(study.questions), 'question')} a page; in {folder}"
    )
    return study


def _check(folder: Path, request: Request) -> None:
    """Raises UsageError for a folder that exists, for names that are no rows, and for numbers that do not fit."""
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        what = "is a study" if (folder / FILE).is_file() else "holds something else"
        raise UsageError(
            f"{folder} {what} already", "a study is frozen, and nothing is overwritten", "name another one"
        )
    unknown = [label for label in request.against if label not in request.rows]
    votes = request.votes_per_pair or request.raters
    problem = cause = ""
    if unknown:
        problem, cause = f"no row {', '.join(unknown)}", f"the rows are {', '.join(request.rows)}"
    elif votes > request.raters:
        problem, cause = f"{votes} raters cannot see each pair", f"there are {counted(request.raters, 'rater')}"
    elif len(request.rows) == 1 and request.images_per_prompt < 2:
        problem, cause = "there is nothing to compare", "one row with one image for each prompt"
    if problem:
        raise UsageError(problem, cause, "correct the command: bench study new --help")


def _check_arms(arms: Sequence[Arm]) -> None:
    """Raises UsageError for two rows of the same weights, which would be compared with themselves."""
    for one, other in combinations(arms, 2):
        if one.adapter_hash == other.adapter_hash:
            raise UsageError(
                "a model cannot be compared with itself",
                f"the rows {one.label} and {other.label} have the same weights",
                "name each model once; the images of one model are compared where there is one row",
            )


def _arm(label: str, adapter: Adapter | None) -> Arm:
    return Arm(label=label, run=adapter.label if adapter else None, adapter_hash=adapter.hash if adapter else None)


def _write(
    temporary: Path,
    name: str,
    request: Request,
    model: LocalModel,
    prompts: PromptSet,
    prepared: Prepared,
    images: Generations,
    arms: tuple[Arm, ...],
) -> Study:
    """Writes pictures and study.json into a folder that gets its name later, and returns the study."""
    noise = Noise(request.seed, "study")
    pictures = copy_pictures(temporary, arms, images)
    comparisons = compared(pictures, arms, request.against)
    votes_per_pair = request.votes_per_pair or request.raters
    standard = standard_count(-(-len(comparisons) * votes_per_pair // request.raters))
    repeats, checks = (standard if count is None else count for count in (request.repeats, request.checks))
    attention = attention_checks(temporary, pictures, images, arms, checks, noise)
    study = Study(
        name=name,
        seed=request.seed,
        model=model.label,
        model_hash=model.hash,
        sampler=prepared.conditions.sampler,
        dtype=prepared.conditions.dtype,
        shared_start=request.shared_start,
        prompts_name=prompts.name,
        prompts_hash=prompts.hash,
        prompts=prompts.prompts,
        arms=arms,
        images_per_prompt=request.images_per_prompt,
        eval_seeds=tuple(request.eval_seeds),
        questions=tuple(request.questions),
        answers=request.answers,
        raters=request.raters,
        votes_per_pair=votes_per_pair,
        consent=request.consent,
        exclusion=request.exclusion,
        pictures=tuple(pictures),
        comparisons=comparisons,
        checks=attention,
        assignment=assign(len(comparisons), request.raters, votes_per_pair, repeats, checks, noise),
        made_on=prepared.made_on,
    )
    write_study(temporary, study)
    return study
