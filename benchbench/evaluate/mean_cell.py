"""The cell of a mean score: fractions have Wilson's interval, and what is right by chance is taken off."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from benchbench import registry
from benchbench.report.table import Cell, make_cell
from benchbench.stats import intervals, proportions
from benchbench.stats.paired import Difference

if TYPE_CHECKING:
    from benchbench.stats.multiple import Verdict

MEANS = ("value", "low", "high")
DIFFERENCES = ("difference", "difference_low", "difference_high")


def mean_cell(
    part: pd.DataFrame,
    difference: Difference | None = None,
    published: float | None = None,
    verdict: Verdict | None = None,
    trainings_needed: int | None = None,
    level: float = intervals.LEVEL,
) -> Cell:
    """Returns the cell of one reward's score rows.

    The interval of scores between 0 and 1 does not leave this range. Scores of which some are right by chance are shown
    as (score - chance) / (1 - chance), and their differences over 1 - chance; gains in standard deviations stay.
    """
    found = proportions.share(part, level) if is_fraction(part.unit.iloc[0]) else intervals.mean(part, level)
    cell = make_cell(found, difference, published, verdict, trainings_needed)
    return _corrected(cell, MEANS, DIFFERENCES, chance_of(part))


def difference_cell(part: pd.DataFrame, difference: Difference, verdict: Verdict) -> Cell:
    """Returns the cell of a difference between two means, of which ``part`` has the score rows of one."""
    cell = make_cell(difference.raw, difference, None, verdict)
    return _corrected(cell, (), (*MEANS, *DIFFERENCES), chance_of(part))


def _corrected(cell: Cell, moved: Iterable[str], stretched: Iterable[str], chance: float) -> Cell:
    """Returns a cell with (x - chance) / (1 - chance) for the numbers ``moved``, x / (1 - chance) for ``stretched``."""
    numbers = {name: x - chance for name in moved if (x := getattr(cell, name)) is not None}
    numbers |= {name: x for name in stretched if (x := getattr(cell, name)) is not None}
    return cell.model_copy(update={name: x / (1 - chance) for name, x in numbers.items()}) if chance else cell


def is_fraction(unit: str) -> bool:
    """Returns True for the unit of scores between 0 and 1."""
    return unit.startswith("fraction")


def chance_of(part: pd.DataFrame) -> float:
    """Returns the mean score that images of other prompts have under the reward of these rows; 0 if it is not known."""
    name = str(part.reward.iloc[0]).partition(" (")[0]  # a gold reward's column names what the trainings were on, too
    if name not in registry.names("rewards"):
        return 0.0
    return registry.get("rewards", name).chance(list(part.drop_duplicates("prompt_index").prompt)) or 0.0


def chance_sentence(parts: list[pd.DataFrame]) -> str:
    """Returns the sentence of a caption on the columns from which chance was taken off; empty where there is none."""
    chances = {str(part.reward.iloc[0]).partition(" (")[0]: chance_of(part) for part in parts}
    found = [f"{name}: (share - {chance:.2f}) / (1 - {chance:.2f})" for name, chance in chances.items() if chance]
    return f"Corrected for what is right by chance: {'; '.join(found)}" if found else ""
