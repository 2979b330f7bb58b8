"""Plans a comparison from one that was made: what would more trainings, or other prompts, tell apart?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchbench.errors import UsageError
from benchbench.evaluate.measure import BASE
from benchbench.report.scores_file import read_scores
from benchbench.stats.intervals import LEVEL
from benchbench.stats.paired import Difference, difference
from benchbench.stats.power import Components, components, power, smallest_effect


class Design(NamedTuple):
    """A comparison that could be made of a table's rows on one reward. Effects are in SD of the base's images."""

    table: str
    reward: str
    trainings: int
    prompts: int
    smallest: float
    """The true difference of a row to the base that is told apart in 80 of 100 such comparisons."""
    found: tuple[float, ...]
    """The share of such comparisons that tell each effect apart."""


class Spread(NamedTuple):
    """The standard deviations of a difference to the base, in SD of the base's images, pooled over the rows."""

    table: str
    reward: str
    between_trainings: float
    between_prompts: float
    of_a_cell: float


def plan(
    folder: Path, trainings: Sequence[int], prompts: int | None, effects: Sequence[float], tests: int
) -> tuple[list[Spread], list[Design]]:
    """Returns how much the differences in a report vary, and what designs with other numbers of trainings would find.

    ``prompts`` is the number of prompts; None: the report's. ``tests`` is the number of tests in a family, of whose
    Holm correction the strictest level is used.

    Errors: UsageError for a folder without scores, and where no row has two trainings. CorruptError for damaged scores.
    """
    scores = read_scores(folder)
    if scores is None:
        raise UsageError(
            f"{folder} holds no scores", "there is no scores.parquet in it", "name a folder of reports/ in the store"
        )
    spreads, designs, alpha = [], [], (1 - LEVEL) / tests
    for table, reward, found in _differences(scores):
        deviation = found[0].base_deviation
        measured = components([row.cells for row in found])
        if measured is None or deviation <= 0:
            continue
        varying = Components(*(variance / deviation**2 for variance in measured))
        spreads.append(Spread(table, reward, *np.sqrt(varying).tolist()))
        count = prompts or found[0].raw.prompts
        designs += [
            Design(
                table,
                reward,
                number,
                count,
                smallest_effect(varying, number, count, alpha),
                tuple(power(effect, varying, number, count, alpha) for effect in effects),
            )
            for number in trainings
        ]
    if not designs:
        raise UsageError(
            f"the report {folder} does not say how much trainings differ",
            f"no row of it has two trainings and a base named {BASE} to be compared with",
            "make it with two training seeds or more, and the base model as a row",
        )
    return spreads, designs


def _differences(scores: pd.DataFrame) -> Iterator[tuple[str, str, list[Difference]]]:
    """Yields each table and reward with the differences of its trained rows to the base."""
    for (table, reward), part in scores.groupby(["table", "reward"], sort=False):
        base = part[part.row == BASE]
        rows = [frame for row, frame in part.groupby("row", sort=False) if row != BASE]
        if not base.empty and rows:
            yield str(table), str(reward), [difference(frame, base) for frame in rows]
