"""The results of a blind study, as TailorPO's Figure 8 and SPO's Figure 5 report them, with what they leave out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbench.protocols.study_agreement import agreement_table, reward_agreement
from benchbench.protocols.study_outcomes import outcome_bars, outcome_tables, strength_table, study_answer
from benchbench.protocols.study_style import Style
from benchbench.protocols.study_template import template
from benchbench.report import folder as report_folder
from benchbench.report.sections import Page, RecordSection, Section, TableSection
from benchbench.report.table import Table
from benchbench.runtime.files import Log
from benchbench.runtime.words import counted
from benchbench.study.design import Study
from benchbench.study.folder import read_study
from benchbench.study.outcomes import outcomes
from benchbench.study.progress import progress_rows
from benchbench.study.scores import Scores, score_pictures
from benchbench.study.vote_store import StoredVote, read_votes
from benchbench.types import Reward


@dataclass(frozen=True)
class StudyResult:
    """The page of a study and its tables, those of the raters that the rule keeps first."""

    page: Page
    tables: tuple[Table, ...]


def analyse(study: Study, votes: Sequence[StoredVote], scores: Scores) -> StudyResult:
    """Returns the results: of raters that the study's rule keeps, and of all raters where it excludes some."""
    rows = progress_rows(study, votes)
    excluded = frozenset(row.slot for row in rows if row.excluded_by(study))
    taken_part = sum(row.votes > 0 for row in rows)
    kept = taken_part - sum(row.votes > 0 and row.slot in excluded for row in rows)
    unfinished = any(row.votes < row.wanted for row in rows)
    parts: list[Section] = []
    tables: list[Table] = []
    judged: list[Table] = []  # decide the answer: of the raters that the rule keeps, where it keeps any
    groups = [("kept", excluded, f"votes of the {counted(kept, 'rater')} that the rule keeps")] if kept else []
    if kept < taken_part:
        groups.append(("all", frozenset(), f"votes of all {counted(taken_part, 'rater')}"))
    for word, left_out, who in groups:
        style = Style(word, who, quick=study.simulated or unfinished)
        found = outcomes(study, votes, left_out)
        judged_here = outcome_tables(study, found, style)
        judged = judged if word == "all" and kept else judged_here
        of_group = [*judged_here, strength_table(study, found, style)]
        of_group += [agreement_table(study, found, style), reward_agreement(study, found, scores, style)]
        shown = tuple(table for table in of_group if table is not None)
        title = "Results" if word == "kept" else "Without the rule: all raters"
        parts.append(TableSection(title=title, tables=shown))
        if study.between_runs:
            parts.insert(len(parts) - 1, outcome_bars(study, found, style))
        tables += shown
    page = Page(
        title=f"Study {study.name}{', answered by a simulated panel' if study.simulated else ''}",
        answer=study_answer(judged, unfinished),
        intro=f"{len(votes):,} of {sum(row.wanted for row in rows):,} votes of {counted(taken_part, 'rater')} on "
        f"{counted(len(study.comparisons), 'pair')}. {study.exclusion.describe()}"
        + (" The study is not finished, so this is no result yet." if unfinished else ""),
        sections=(*parts, template(study, rows, votes), RecordSection(records={"the study's images": study.made_on})),
        quick=study.simulated or unfinished,
    )
    return StudyResult(page, tuple(tables))


def results(
    folder: Path, rewards: Sequence[type[Reward]], device: str | None = None, log: Log = print
) -> tuple[StudyResult, Path]:
    """Returns the results of the study in a folder and the folder of their report. Errors: UsageError, RunError."""
    study = read_study(folder)
    votes = read_votes(folder, study)
    result = analyse(study, votes, score_pictures(folder, study, rewards, device, log))
    return result, report_folder.write(folder, f"study-{study.name}", result.page)
