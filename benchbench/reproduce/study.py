"""A blind study as a table: makes its images and its folder, and adds the results once there are votes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from benchbench import prompts as prompt_sets
from benchbench.evaluate.measure import BASE
from benchbench.hub import models
from benchbench.protocols.study import analyse
from benchbench.report.sections import OutcomeSection, Section, TextSection
from benchbench.report.table import Table
from benchbench.reproduce.plan import Plan
from benchbench.reproduce.spec import Block
from benchbench.rewards import lookup
from benchbench.runtime.files import Log
from benchbench.runtime.hashing import digest
from benchbench.runtime.words import counted
from benchbench.store.runs import find_adapter
from benchbench.study.create import create
from benchbench.study.design import Answers
from benchbench.study.folder import FILE, read_study, study_folder
from benchbench.study.material import drawn_prompts
from benchbench.study.request import Request
from benchbench.study.scores import score_pictures
from benchbench.study.vote_store import stored_votes
from benchbench.types import PromptSet


class StudySettings(BaseModel):
    """The settings of a track's study. ``drawn`` says how many prompts are drawn from a set; none: all are taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    questions: tuple[str, ...] = Field(min_length=1)
    raters: int = Field(gt=0)
    against: tuple[str, ...] = ()
    answers: Answers = "win-draw-lose"
    drawn: dict[str, int] = {}


@dataclass
class StudyReport:
    """The tables of a study's results, empty without votes, and the sections beside them."""

    tables: list[Table] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    answer: str = ""


def study_report(plan: Plan, block: Block, store: Path, log: Log) -> StudyReport:
    """Makes the study of one prompt set unless it is there, and returns its results, or how to gather votes."""
    folder = _find_or_make(plan, block, store, log)
    study = read_study(folder)
    votes = stored_votes(folder, study)
    if not votes:
        text = (
            f"The study is in {folder}: {counted(len(study.comparisons), 'pair')}, {counted(study.raters, 'rater')}. "
            f"To gather votes: bench study serve {folder}. Once there are some, the same command shows the results."
        )
        log(text)
        return StudyReport(sections=[TextSection(title=f"No votes yet on {block.prompts}", paragraphs=(text,))])
    gold = [plan.track.gold] if plan.track.gold else []
    rewards = [lookup.require(name) for name in dict.fromkeys([*plan.rewards, *gold])]
    result = analyse(study, votes, score_pictures(folder, study, rewards, log=log))
    prefix = f"{plan.spec.id.replace(':', '-')}-{block.prompts}"
    tables = [table.model_copy(update={"name": f"{prefix}-{table.name}"}) for table in result.tables]
    kinds = (OutcomeSection, TextSection)
    sections: list[Section] = [section for section in result.page.sections if isinstance(section, kinds)]
    return StudyReport(tables, sections, result.page.answer)


def _find_or_make(plan: Plan, block: Block, store: Path, log: Log) -> Path:
    """Returns the folder of the study, whose name has a digest of all that decides its pictures and pairs."""
    settings = StudySettings.model_validate(plan.track.settings)
    prompts = prompt_sets.load(block.prompts)
    if block.prompts in settings.drawn:
        prompts = drawn_prompts(prompts, settings.drawn[block.prompts], 0)
    rows = {m.row: m.runs[0] if m.runs else BASE for m in plan.measurements if m.block == block}
    request = Request(
        rows=rows,
        questions=settings.questions,
        raters=settings.raters,
        images_per_prompt=block.images,
        against=[label for label in settings.against if label in rows],
        answers=settings.answers,
    )
    key = _key(plan, block, settings, prompts, rows, store)
    name = f"{plan.spec.id.replace(':', '-')}-{plan.track_name}-{block.prompts}-{digest(key)}"
    folder = study_folder(store, name)
    if not (folder / FILE).is_file():
        model, sampler = models.find(plan.track.model), plan.track.sampler
        create(folder, request, model, prompts, store=store, sampler=sampler, dtype=plan.dtype, log=log)
    return folder


def _key(
    plan: Plan, block: Block, settings: StudySettings, prompts: PromptSet, rows: dict[str, str], store: Path
) -> dict[str, Any]:
    """Returns everything that decides the study, JSON-able."""
    return {
        "model": models.find(plan.track.model).hash,
        "rows": {label: None if run == BASE else find_adapter(store, run).hash for label, run in rows.items()},
        "prompts": [prompts.name, prompts.hash],
        "images": block.images,
        "sampler": plan.track.sampler,
        "dtype": plan.dtype,
        "settings": settings.model_dump(mode="json"),
    }
