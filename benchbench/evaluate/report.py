"""An evaluation with its report: the base model and each adapter in a row, each reward in a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchbench.errors import UsageError
from benchbench.evaluate.measure import BASE, Measured, measure
from benchbench.evaluate.reward_table import reward_table
from benchbench.evaluate.rows import Training
from benchbench.hub.models import LocalModel
from benchbench.report import curves, folder, grids
from benchbench.report.sections import Page, RecordSection, Section, TableSection, TextSection
from benchbench.report.table import Table
from benchbench.store.runs import adapter
from benchbench.types import PromptSet, Reward


@dataclass(frozen=True)
class EvalResult:
    """Score rows by row label, the table, and the folder of the report."""

    frames: dict[str, pd.DataFrame]
    table: Table
    folder: Path


def evaluate(
    model: str | LocalModel,
    adapters: Sequence[str | Path],
    prompts: PromptSet,
    rewards: Sequence[str | type[Reward]],
    *,
    store: Path,
    quick: bool = False,
    **options: Any,
) -> EvalResult:
    """Rows ``base`` and one an adapter, named by its run; ``options`` and errors are those of ``measure``."""
    rows: dict[str, Sequence[Training]] = {BASE: []}
    for name in adapters:
        found = adapter(store, name)
        if found.label in rows:
            raise UsageError(
                f"two rows would be called {found.label}", f"{name} is the second", "name each once, or rename one"
            )
        rows[found.label] = [found]
    measured = measure(model, rows, prompts, rewards, store=store, **options)
    trained = {run.config.get("config", {}).get("reward") for run in measured.runs}
    held_out = frozenset(measured.protocol.rewards) - trained if trained else frozenset()
    table = reward_table(
        measured.frames, measured.protocol, name=f"rewards-{prompts.name}", held_out=held_out, quick=quick
    )
    images = len(prompts) * measured.protocol.images_per_prompt * len(measured.protocol.eval_seeds)
    page = Page(
        title=f"{measured.protocol.model} on {prompts.name}",
        intro=f"{_rows(len(adapters))}, {images} images each. In brackets are 95% intervals over prompts.",
        sections=sections(measured, table),
        quick=quick,
    )
    out = folder.write(store, f"eval-{measured.protocol.model}-{prompts.name}", page)
    return EvalResult(measured.frames, table, out)


def _rows(adapters: int) -> str:
    return "The base model" + (f" and {adapters} adapter{'s' if adapters > 1 else ''}" if adapters else "")


def sections(measured: Measured, *tables: Table, labels: Mapping[Path, str] | None = None) -> tuple[Section, ...]:
    """Tables, samples, curves, what looks wrong, and the records: the body of any report on measured rows.

    ``labels`` names the lines of runs' curves by their folders; the others are named by their method.
    """
    rows = [generations[0] for generations in measured.generations.values()]
    parts: list[Section] = [TableSection(title="Rewards", tables=tables), grids.sample_grid(rows)]
    parts += curves.from_runs(measured.runs, labels)
    blank = {label: sum(g.blank for g in found) for label, found in measured.generations.items()}
    if any(blank.values()):
        counts = ", ".join(f"{label} {count}" for label, count in blank.items() if count)
        parts.append(TextSection(title="Warnings", paragraphs=(f"Images that are black or of one colour: {counts}.",)))
    trainings = {run.id: {**run.config, "done": run.done} for run in measured.runs}
    return (*parts, RecordSection(records={"this evaluation": measured.record, **trainings}))
