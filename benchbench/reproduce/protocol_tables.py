"""Tables of protocols that are not reward tables: one table for each reward."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from benchbench.errors import RunError
from benchbench.evaluate.measure import BASE
from benchbench.evaluate.reward_table import rows_ahead
from benchbench.protocols import PROTOCOLS
from benchbench.protocols.run import table_sections
from benchbench.protocols.win_rate import WinSettings, compare
from benchbench.report.sections import Section
from benchbench.report.table import Table
from benchbench.reproduce.measurement_spec import measurement_spec
from benchbench.reproduce.plan import Plan
from benchbench.reproduce.published_values import with_published_words
from benchbench.reproduce.spec import Block
from benchbench.runtime.files import Log


def tables(
    plan: Plan, block: Block, store: Path, log: Log
) -> tuple[list[Table], list[Section], dict[str, dict[str, pd.DataFrame]]]:
    """Returns the tables of one prompt set, their curves over steps, and the frames behind them by table and row.

    Errors: RunError where nothing was measured.
    """
    protocol = PROTOCOLS[plan.spec.protocol]
    values = plan.published(block)
    by_reward: list[Table] = []
    curves: list[Section] = []
    scores: dict[str, dict[str, pd.DataFrame]] = {}
    for reward in plan.rewards:
        measurements = [m for m in plan.measurements if m.block == block and reward in m.rewards]
        frames: dict[str, pd.DataFrame] = {}
        settings = None
        for measurement in measurements:
            spec = measurement_spec(plan, measurement, {measurement.row: list(measurement.runs)}, [reward])
            frames |= spec.measure_protocol(reward, store, log)
            settings = spec.protocol_settings()
        if settings is None:
            continue
        scale = "" if plan.on_paper_track or not values else f" Published: {plan.spec.paper_track}, for comparison only"
        about = f"{plan.track.model}, prompts {block.prompts}, reward {reward}.{scale}"
        name = f"{plan.spec.id.replace(':', '-')}-{reward}"
        table = protocol.table(frames, settings, about, name=name, published=values, quick=plan.quick)
        if values and not plan.on_paper_track:
            table = with_published_words(table, {column.key: plan.spec.paper_track for column in table.columns})
        by_reward.append(table.model_copy(update={"title": f"{protocol.title}, {reward}"}))
        scores[table.stem] = frames
        curves += [s.model_copy(update={"title": f"{s.title}, {reward}"}) for s in table_sections(table)[1:]]
    if not by_reward:
        raise RunError(f"{block.prompts} has no table", "none of its rows was measured", "run the command again")
    return by_reward, curves, scores


def win_rates(
    plan: Plan, block: Block, scores: Mapping[str, pd.DataFrame], name: str
) -> tuple[Table, dict[str, pd.DataFrame]]:
    """Returns the table of win rates over the base, and by row the comparisons behind it, with ``win`` as the score.

    ``scores`` has the score rows of each row, with a column ``train_seed``; every training is compared by itself.
    """
    protocol = PROTOCOLS["win-rate"]
    settings = WinSettings(images_per_prompt=block.images)
    base, frames = scores[BASE].drop(columns="train_seed"), {}
    for row, frame in scores.items():
        if row != BASE:
            parts = [
                compare(part.drop(columns="train_seed"), base, settings).assign(train_seed=seed)
                for seed, part in frame.groupby("train_seed")
            ]
            frames[row] = pd.concat(parts, ignore_index=True)
    values = plan.published(block)
    columns = plan.track.rewards.items()
    shares = {
        (row, f"{reward}: win"): values[row, column]
        for reward, column in columns
        for row in frames
        if (row, column) in values
    }
    scale = "" if plan.on_paper_track or not values else f" Published: {plan.spec.paper_track}, for order, not value"
    about = f"{plan.track.model}, prompts {block.prompts}.{scale}"
    table = protocol.table(frames, settings, about, name=name, published=shares, quick=plan.quick)
    if not plan.on_paper_track:
        beside = {f"{reward}: win": f"{column}, {plan.spec.paper_track}" for reward, column in columns}
        table = with_published_words(table, beside)
    wins = {row: frame.assign(score=frame.win) for row, frame in frames.items()}
    by_reward = {(row, str(name)): part for row, frame in wins.items() for name, part in frame.groupby("reward")}
    ahead = {f"{name}: win": pairs for name in plan.rewards if (pairs := rows_ahead(by_reward, name, ())) is not None}
    return table.model_copy(update={"title": f"Win rates on {block.prompts}", "ahead": ahead}), wins
