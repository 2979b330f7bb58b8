"""A leaderboard reads reports of sweeps whose trainings share a reward and were stopped in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from benchbench import registry
from benchbench.errors import BenchError, MissingError, UsageError
from benchbench.evaluate.measure import BASE
from benchbench.report import folder
from benchbench.report.scores_file import read_scores
from benchbench.report.sections import CurveSection, GridSection, RecordSection, TableSection
from benchbench.report.table import Cell, Table
from benchbench.reproduce.budget import Work, pairs_work
from benchbench.reproduce.stopped_grid import GRID_LOSSES, SAMPLES

ONCE = "-stopped-once"
BEST_OF = "best-of-"


@dataclass(frozen=True)
class Ranked:
    """A report: its reward, its tables, its scores and the records of its trainings by row."""

    reward: str
    frontier: Table
    """The table of F(.2)."""
    once: Table
    """The table at a loss of at most .05."""
    scores: pd.DataFrame
    trainings: Mapping[str, Sequence[Mapping[str, Any]]]
    figure: CurveSection | None
    grids: Sequence[GridSection]
    """Pictures of the rows on the prompts of the table, where the report has them."""
    stated: Table | None
    """The orders of F(.2) that were stated beforehand, where each row has enough trainings for a verdict."""

    @property
    def rows(self) -> list[str]:
        """The rows besides the base, by F(.2), the highest first."""
        gains = {row: cell.gain for row, cell in self._cells() if row != BASE and cell.gain is not None}
        return sorted(gains, key=lambda row: -gains[row])

    @property
    def best_of(self) -> str | None:
        """The row of the best of several images of the base model."""
        return next((row for row in self.frontier.rows if row.startswith(BEST_OF)), None)

    def gain(self, row: str) -> float | None:
        """Returns a row's F(.2), in standard deviations of the base."""
        cell = self.frontier.get(row, self.reward)
        return cell.gain if cell else None

    def work(self, row: str) -> Work | None:
        """Returns the mean work of a row's trainings, with that of pairs that were made for them.

        A training's fixed images do not count, which watch it only. None for a row without trainings, and where the
        prompts of its pairs are not on this machine.
        """
        spent = []
        for training in self.trainings.get(row, ()):
            done, config = training["done"], training["config"]
            try:
                pairs = pairs_work(config["model"], config.get("pairs"))
            except BenchError:
                return None
            nfe = done["nfe"] - done.get("eval_forwards", 0) / 2 + pairs.nfe
            spent.append(Work(nfe, done["reward_calls"] + pairs.reward_calls))
        return Work(*map(fmean, zip(*spent, strict=True))) if spent else None

    def _cells(self) -> list[tuple[str, Cell]]:
        return [(row, cell) for row in self.frontier.rows if (cell := self.frontier.get(row, self.reward))]

    def needs_gradient(self, row: str) -> bool:
        """Returns whether a method follows the gradient of the reward, at the settings that it was trained with."""
        method = registry.get("methods", row)
        settings = method.Config.model_validate(self.trainings[row][0]["config"]["settings"])
        return "reward_gradient" in method.needs(settings)


def read_report(path: Path) -> Ranked:
    """Returns what a report holds. Errors: those of ``leaderboard``."""
    page, scores = folder.read(path), read_scores(path)
    tables = {t.name: t for section in page.sections if isinstance(section, TableSection) for t in section.tables}
    once = next((found for name, found in tables.items() if name.endswith(ONCE)), None)
    if once is None:
        cause = "its trainings were not stopped in time, so that it has no F(.2)"
        raise UsageError(f"{path} cannot be ranked", cause, "give stop in the sweep's file: docs/sweeps.md")
    if scores is None:
        raise MissingError(f"{path} has no scores", "there is no scores.parquet in it", "make the report again")
    frontier = tables[once.name.removesuffix(ONCE)]
    records = {name: entry for s in page.sections if isinstance(s, RecordSection) for name, entry in s.records.items()}
    trainings: dict[str, list[Mapping[str, Any]]] = {}
    for entry in records.values():
        if isinstance(entry, dict) and "done" in entry:
            trainings.setdefault(entry["config"]["method"], []).append(entry)
    strange = [row for row in frontier.rows if row != BASE and not row.startswith(BEST_OF) and row not in trainings]
    open_columns = [column.key for column in frontier.columns if not column.held_out]
    if strange or len(open_columns) != 1:
        cause = f"{', '.join(strange)} is no method" if strange else f"it has columns of {len(open_columns)} trainings"
        remedy = "rank sweeps of methods at one setting each, with train_reward: docs/sweeps.md"
        raise UsageError(f"{path} cannot be ranked", cause, remedy)
    figure = next(
        (s for s in page.sections if isinstance(s, CurveSection) and "against what it costs" in s.title), None
    )
    grids = [s for s in page.sections if isinstance(s, GridSection) and s.title.startswith(SAMPLES)][: len(GRID_LOSSES)]
    stated = tables.get(f"{frontier.name}-stated")
    return Ranked(open_columns[0], frontier, once, scores, trainings, figure, grids, stated)
