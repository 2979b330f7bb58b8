"""Mean reward by row and reward, with intervals clustered by prompt and paired gains over the base row."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from benchbench.evaluate.protocol import Protocol
from benchbench.report.table import Cell, Column, Table, make_cell
from benchbench.stats import intervals, paired, proportions
from benchbench.stats.multiple import Verdict, corrected_verdicts
from benchbench.stats.paired import Difference

Published = Mapping[tuple[str, str], float]


def reward_table(
    frames: Mapping[str, pd.DataFrame],
    protocol: Protocol,
    *,
    name: str = "rewards",
    title: str = "Mean reward",
    base: str | None = "base",
    published: Published | None = None,
    held_out: frozenset[str] = frozenset(),
    quick: bool = False,
    level: float = intervals.LEVEL,
) -> Table:
    """A Table from score rows by row label; several trainings of one row stand in a column ``train_seed``.

    ``base`` names the row that differences are taken to; they are tested and corrected as one family.
    A row need not have every reward. Errors: UsageError where rows were not sampled alike.
    """
    columns = _columns(frames, held_out)
    reference = frames[base] if base is not None and base in frames else None
    parts = {(row, c.key): part for row in frames for c in columns if not (part := _one(frames[row], c.key)).empty}
    against = {
        (row, key): paired.difference(part, _one(reference, key), level)
        for (row, key), part in parts.items()
        if reference is not None and row != base and not _one(reference, key).empty
    }
    verdicts = corrected_verdicts(against, level)
    cells: dict[str, dict[str, Cell]] = {row: {} for row in frames}
    fractions = {c.key for c in columns if _fraction(c)}
    for at, part in parts.items():
        known = (published or {}).get(at)
        found = proportions.share(part, level) if at[1] in fractions else intervals.mean(part, level)
        cells[at[0]][at[1]] = make_cell(found, against.get(at), known, verdicts.get(at))
    return Table(
        name=name,
        title=title,
        caption=_caption(protocol, columns, cells, base if reference is not None else None, against, verdicts, level),
        rows=tuple(frames),
        columns=columns,
        cells=cells,
        protocol=protocol.digest,
        quick=quick,
    )


def _fraction(column: Column) -> bool:
    """Scores between 0 and 1, whose interval stays there."""
    return column.unit.startswith("fraction")


def _one(frame: pd.DataFrame, reward: str) -> pd.DataFrame:
    return frame[frame.reward == reward]


def _columns(frames: Mapping[str, pd.DataFrame], held_out: frozenset[str]) -> tuple[Column, ...]:
    parts = [frame[["reward", "version", "unit"]] for frame in frames.values()]
    kinds = pd.concat(parts).drop_duplicates("reward").itertuples(index=False)
    return tuple(Column(key=k.reward, unit=k.unit, version=k.version, held_out=k.reward in held_out) for k in kinds)


def _caption(
    protocol: Protocol,
    columns: tuple[Column, ...],
    cells: Mapping[str, Mapping[str, Cell]],
    base: str | None,
    against: Mapping[tuple[str, str], Difference],
    verdicts: Mapping[tuple[str, str], Verdict],
    level: float,
) -> str:
    every = [found for row in cells.values() for found in row.values()]
    seeds = max((found.seeds for found in every), default=1)
    rewards = "; ".join(f"{c.key} (version {c.version}, in {c.unit or 'no unit'})" for c in columns)
    sentences = [protocol.describe(), f"Rewards: {rewards}"]
    if seeds > 1:
        how = f"of the mean over prompts and up to {seeds} trainings of a row"
    elif min((found.prompts for found in every), default=0) < intervals.FEWEST_TO_RESAMPLE:
        how = "by Student's t over prompts, too few to resample"
    else:
        how = "by bootstrap over prompts"
    if any(_fraction(c) for c in columns):
        how += ", of fractions Wilson's for clustered samples"
    sentences.append(f"In brackets: {level:.0%} interval {how}")
    if base is not None and len(cells) > 1:
        sentences.append(f"SD: paired difference to {base} in standard deviations of {base} over its images")
        sentences.append(significance(against.values(), verdicts.values(), level))
    return ". ".join([*sentences, f"Protocol {protocol.digest}"]) + "."


def significance(
    differences: Collection[Difference], verdicts: Collection[Verdict], level: float = intervals.LEVEL
) -> str:
    """The sentences that say what the marks of a table mean, without the last full stop."""
    tests = []
    if any(found.raw.seeds > 1 for found in differences):
        tests.append("two-level t-test over trainings and prompts")
    if any(found.raw.seeds == 1 for found in differences):
        tests.append("permutation test over prompts" + (" where there is one training" if tests else ""))
    count = len(differences)
    holm = f", after Holm's correction for the {count} comparisons of the table" if count > 1 else ""
    said = f"*: significant at {1 - level:.0%} by a paired {', or '.join(tests)}{holm}"
    if all(verdict.detectable is None for verdict in verdicts):
        return said
    return f"{said}. n.s.: not significant; a true difference of the detectable size would be found in 80 of 100 tables"
