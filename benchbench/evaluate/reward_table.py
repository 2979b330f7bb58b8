"""The table of mean rewards by row and reward: intervals clustered by prompt, and paired differences to the base."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from benchbench.evaluate.conditions import EvalConditions
from benchbench.report.table import Cell, Column, Table, make_cell
from benchbench.stats import intervals, paired, proportions
from benchbench.stats.multiple import Verdict, corrected_verdicts
from benchbench.stats.paired import Difference

PublishedValues = Mapping[tuple[str, str], float]  # by row and column


def reward_table(
    frames: Mapping[str, pd.DataFrame],
    conditions: EvalConditions,
    *,
    name: str = "rewards",
    title: str = "Mean reward",
    base: str | None = "base",
    published: PublishedValues | None = None,
    held_out: frozenset[str] = frozenset(),
    quick: bool = False,
    level: float = intervals.LEVEL,
) -> Table:
    """Returns the table of score rows by row label; the column ``train_seed`` tells a row's trainings apart.

    ``base`` names the row that others are compared with; the tests are corrected as one family. A row need not have
    every reward. Raises UsageError if rows were not sampled alike.
    """
    columns = _columns(frames, held_out)
    reference = frames[base] if base is not None and base in frames else None
    parts = {
        (row, column.key): part
        for row in frames
        for column in columns
        if not (part := _of_reward(frames[row], column.key)).empty
    }
    differences = {
        (row, reward): paired.difference(part, _of_reward(reference, reward), level)
        for (row, reward), part in parts.items()
        if reference is not None and row != base and not _of_reward(reference, reward).empty
    }
    verdicts = corrected_verdicts(differences, level)
    cells: dict[str, dict[str, Cell]] = {row: {} for row in frames}
    fractions = {column.key for column in columns if _is_fraction(column)}
    for (row, reward), part in parts.items():
        interval = proportions.share(part, level) if reward in fractions else intervals.mean(part, level)
        published_value = (published or {}).get((row, reward))
        difference, verdict = differences.get((row, reward)), verdicts.get((row, reward))
        cells[row][reward] = make_cell(interval, difference, published_value, verdict)
    compared_with = base if reference is not None else None
    return Table(
        name=name,
        title=title,
        caption=_caption(conditions, columns, cells, compared_with, differences, verdicts, level),
        rows=tuple(frames),
        columns=columns,
        cells=cells,
        protocol=conditions.digest,
        quick=quick,
    )


def _is_fraction(column: Column) -> bool:
    """Returns True for scores between 0 and 1, whose interval must not leave this range."""
    return column.unit.startswith("fraction")


def _of_reward(frame: pd.DataFrame, reward: str) -> pd.DataFrame:
    return frame[frame.reward == reward]


def _columns(frames: Mapping[str, pd.DataFrame], held_out: frozenset[str]) -> tuple[Column, ...]:
    parts = [frame[["reward", "version", "unit"]] for frame in frames.values()]
    rewards = pd.concat(parts).drop_duplicates("reward").itertuples(index=False)
    return tuple(Column(key=r.reward, unit=r.unit, version=r.version, held_out=r.reward in held_out) for r in rewards)


def _caption(
    conditions: EvalConditions,
    columns: tuple[Column, ...],
    cells: Mapping[str, Mapping[str, Cell]],
    base: str | None,
    differences: Mapping[tuple[str, str], Difference],
    verdicts: Mapping[tuple[str, str], Verdict],
    level: float,
) -> str:
    all_cells = [cell for row in cells.values() for cell in row.values()]
    seeds = max((cell.seeds for cell in all_cells), default=1)
    rewards = "; ".join(f"{c.key} (version {c.version}, in {c.unit or 'no unit'})" for c in columns)
    sentences = [conditions.describe(), f"Rewards: {rewards}"]
    if seeds > 1:
        method = f"of the mean over prompts and up to {seeds} trainings of a row"
    elif min((cell.prompts for cell in all_cells), default=0) < intervals.FEWEST_TO_RESAMPLE:
        method = "by Student's t over prompts, too few to resample"
    else:
        method = "by bootstrap over prompts"
    if any(_is_fraction(column) for column in columns):
        method += ", of fractions Wilson's for clustered samples"
    sentences.append(f"In brackets: {level:.0%} interval {method}")
    if base is not None and len(cells) > 1:
        sentences.append(f"SD: paired difference to {base} in standard deviations of {base} over its images")
        sentences.append(significance(differences.values(), verdicts.values(), level))
    return ". ".join([*sentences, f"Protocol {conditions.digest}"]) + "."


def significance(
    differences: Collection[Difference], verdicts: Collection[Verdict], level: float = intervals.LEVEL
) -> str:
    """Returns the sentences that explain a table's marks of significance, without the last full stop."""
    tests = []
    if any(difference.raw.seeds > 1 for difference in differences):
        tests.append("two-level t-test over trainings and prompts")
    if any(difference.raw.seeds == 1 for difference in differences):
        tests.append("permutation test over prompts" + (" where there is one training" if tests else ""))
    count = len(differences)
    holm = f", after Holm's correction for the {count} comparisons of the table" if count > 1 else ""
    star = f"*: significant at {1 - level:.0%} by a paired {', or '.join(tests)}{holm}"
    if all(verdict.detectable is None for verdict in verdicts):
        return star
    return f"{star}. n.s.: not significant; a true difference of the detectable size would be found in 80 of 100 tables"
