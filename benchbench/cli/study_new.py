"""Looks up what ``bench study new`` names, then makes the study. Imports what loads pandas only inside a function."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import typer

from benchbench import choice
from benchbench import prompts as prompt_sets
from benchbench.cli import study_options as options
from benchbench.cli.options import Device, Dtype, EvalSeeds, ModelName, PromptsName, Store, assignments, integers
from benchbench.cli.ui import log, resumable
from benchbench.errors import UsageError, all_at_once
from benchbench.evaluate.conditions import BASE
from benchbench.hub import models
from benchbench.hub.models import LocalModel
from benchbench.prompts.words import check_vocabulary
from benchbench.store import root
from benchbench.store.runs import find_adapter
from benchbench.study.design import CONSENT, Exclusion
from benchbench.study.folder import study_folder
from benchbench.study.material import drawn_prompts
from benchbench.study.request import Request
from benchbench.types import PromptSet


def new(
    name: options.Name,
    row: options.Rows,
    question: options.Questions,
    raters: options.Raters,
    prompts: PromptsName = None,
    prompts_drawn: options.PromptsDrawn = None,
    images_per_prompt: options.ImagesPerPrompt = 5,
    against: options.Against = None,
    answers: options.AnswerSet = "win-draw-lose",
    votes_per_pair: options.VotesPerPair = None,
    repeats: options.Repeats = None,
    checks: options.Checks = None,
    least_passed: options.LeastPassed = 0.75,
    least_kept: options.LeastKept = 0.0,
    consent: options.Consent = None,
    shared_start: options.SharedStart = False,
    steps: options.Steps = None,
    guidance_scale: options.GuidanceScale = None,
    model: ModelName = None,
    eval_seeds: EvalSeeds = "0",
    seed: options.Seed = 0,
    out: options.Out = None,
    dtype: Dtype = "auto",
    store: Store = None,
    device: Device = None,
) -> None:
    """Make a study: its pictures, pairs and assignment, frozen before the first vote."""
    request = Request(
        rows=assignments(["base=base" if word == "base" else word for word in row], "--row", "tailorpo=RUN"),
        questions=[_filled(text, "--question") for text in question],
        raters=raters,
        images_per_prompt=images_per_prompt,
        against=against or (),
        answers=answers,
        votes_per_pair=votes_per_pair,
        repeats=repeats,
        checks=checks,
        eval_seeds=integers(eval_seeds, "--eval-seeds"),
        seed=seed,
        shared_start=shared_start,
        consent=_filled(_read(consent), "--consent") if consent else CONSENT,
        exclusion=Exclusion(passed_checks=least_passed, kept_answers=least_kept),
    )
    here, folder = root(store), study_folder(root(store), name, out)
    found, prompt_set = _look_up(model, prompts, prompts_drawn, device, request, here)
    sampler = {key: value for key, value in (("steps", steps), ("guidance_scale", guidance_scale)) if value is not None}
    with resumable():
        from benchbench.study.create import create

        create(folder, request, found, prompt_set, store=here, sampler=sampler, device=device, dtype=dtype, log=log)
    log(f"to show it to raters: bench study serve {out or name}")


def _look_up(
    model: str | None, prompts: str | None, drawn: int | None, device: str | None, request: Request, store: Path
) -> tuple[LocalModel, PromptSet]:
    """Returns the model and the prompts, and logs them. Errors: UsageError, MissingError."""
    chosen, reason = choice.choose_model(model, device)
    name = choice.choose_prompts(prompts, str(chosen))
    rows = [partial(find_adapter, store, run) for run in request.rows.values() if run != BASE]
    found, prompt_set, *_ = all_at_once(lambda: models.find(chosen), lambda: prompt_sets.load(name), *rows)
    check_vocabulary(prompt_set, str(chosen))
    if drawn is not None:
        prompt_set = drawn_prompts(prompt_set, drawn, request.seed)
    model_words = choice.with_reason(chosen, reason)
    log(f"a study of {', '.join(request.rows)} on the model {model_words}, prompts {prompt_set.name}")
    return found, prompt_set


def _filled(text: str, option: str) -> str:
    if not text.strip():
        raise typer.BadParameter("the text is empty", param_hint=option)
    return text.strip()


def _read(path: Path) -> str:
    """Returns the text of a file. Raises UsageError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the text {path} cannot be read", str(error), "name a text file in UTF-8") from error
