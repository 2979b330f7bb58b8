"""Compares two models: the difference under each reward, its significance, and the prompts that differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchbench.evaluate import compare_report
from benchbench.evaluate.measure import measure
from benchbench.evaluate.rates import with_rates
from benchbench.evaluate.report import report_sections
from benchbench.evaluate.sides import Side
from benchbench.hub.models import LocalModel
from benchbench.report import folder
from benchbench.report.answer import comparison_answer
from benchbench.report.scores_file import write_scores
from benchbench.report.sections import Page
from benchbench.report.table import Table
from benchbench.stats.multiple import Verdict, corrected_verdicts
from benchbench.stats.paired import Difference, difference
from benchbench.types import PromptSet, Reward


@dataclass(frozen=True)
class Comparison:
    """Differences (first minus second) and verdicts by reward, the table with its answer, and the report's folder."""

    differences: dict[str, Difference]
    verdicts: dict[str, Verdict]
    table: Table
    answer: str
    folder: Path


def compare(
    first: Side,
    second: Side,
    model: str | LocalModel,
    prompts: PromptSet,
    rewards: Sequence[str | type[Reward]],
    *,
    store: Path,
    **options: Any,
) -> Comparison:
    """Generates and scores what the store lacks, and writes the report; takes the options of ``measure``.

    Raises what ``measure`` raises.
    """
    labels = (first.label, second.label)
    measured = measure(
        model, {side.label: side.adapters for side in (first, second)}, prompts, rewards, store=store, **options
    )
    frames = _by_seed(*(measured.frames[label] for label in labels))
    by_reward = {
        name: (frames[0][frames[0].reward == name], frames[1][frames[1].reward == name])
        for name in dict.fromkeys(frames[0].reward)
    }
    differences = {name: difference(*scores) for name, scores in by_reward.items()}
    verdicts = corrected_verdicts(differences)
    table = compare_report.comparison_table(labels, by_reward, differences, verdicts, measured, prompts.name)
    table = with_rates(table, {side.label: side.adapters for side in (first, second)})
    reward_section, *other_sections = report_sections(measured, table)
    page = Page(
        title=f"{first.label} and {second.label} on {prompts.name}",
        answer=comparison_answer(table, first.label, second.label),
        intro=f"{_name_of(first)} minus {_name_of(second)}, on the model {measured.conditions.model}: the same "
        "prompts, samples and noise for both.",
        sections=(
            reward_section,
            compare_report.outcome_section(labels, by_reward),
            compare_report.side_by_side_section(labels, by_reward, measured),
            *other_sections,
        ),
    )
    report_folder = folder.write(store, f"compare-{first.label}-{second.label}-{prompts.name}", page)
    write_scores(report_folder, {table.stem: dict(zip(labels, frames, strict=True))})
    return Comparison(differences, verdicts, table, page.answer, report_folder)


def _by_seed(first: pd.DataFrame, second: pd.DataFrame) -> list[pd.DataFrame]:
    """Returns the scores of both sides with training seeds that form pairs.

    Two single trainings form a pair whatever their seeds. The base model's scores stand beside each training.
    """
    seeds = [sorted(set(frame.train_seed)) for frame in (first, second)]
    if len(seeds[0]) == len(seeds[1]) == 1:
        return [first.assign(train_seed=0), second.assign(train_seed=0)]
    longer = max(seeds, key=len)
    return [
        frame if len(own) > 1 else pd.concat([frame.assign(train_seed=seed) for seed in longer], ignore_index=True)
        for frame, own in zip((first, second), seeds, strict=True)
    ]


def _name_of(side: Side) -> str:
    name = Path(side.reference).name if len(side.adapters) == 1 else side.label
    return side.label if name == side.label else f"{side.label} ({name})"
