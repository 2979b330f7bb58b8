"""Mean reward by row and reward, with intervals clustered by prompt and paired gains over the base row."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from benchbench.protocols.protocol import Protocol
from benchbench.report.table import Cell, Column, Table, cell
from benchbench.stats import intervals, paired

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

    ``base`` names the row that differences are taken to. A row need not have every reward. Errors: UsageError where
    rows were not sampled alike.
    """
    columns = _columns(frames, held_out)
    reference = frames[base] if base is not None and base in frames else None
    cells: dict[str, dict[str, Cell]] = {row: {} for row in frames}
    for row, frame in frames.items():
        for column in columns:
            part = _one(frame, column.key)
            if part.empty:
                continue
            against = None
            if reference is not None and row != base and not _one(reference, column.key).empty:
                against = paired.difference(part, _one(reference, column.key), level)
            known = (published or {}).get((row, column.key))
            cells[row][column.key] = cell(intervals.mean(part, level), against, known)
    return Table(
        name=name,
        title=title,
        caption=_caption(protocol, columns, cells, base if reference is not None else None, level),
        rows=tuple(frames),
        columns=columns,
        cells=cells,
        protocol=protocol.digest,
        quick=quick,
    )


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
    sentences.append(f"In brackets: {level:.0%} interval {how}")
    if base is not None and len(cells) > 1:
        sentences.append(f"SD: paired difference to {base} in standard deviations of {base} over its images")
    return ". ".join([*sentences, f"Protocol {protocol.digest}"]) + "."
