"""Tables of the protocols that measure something of their own: a table a reward."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from benchbench.errors import RunError
from benchbench.evaluate.measure import BASE
from benchbench.protocols import PROTOCOLS
from benchbench.protocols.run import table_sections
from benchbench.protocols.win_rate import WinSettings, compare
from benchbench.report.sections import Section
from benchbench.report.table import Table
from benchbench.reproduce.measurement_spec import measurement_spec
from benchbench.reproduce.plan import Plan
from benchbench.reproduce.spec import Block
from benchbench.runtime.files import Log


def tables(plan: Plan, block: Block, store: Path, log: Log) -> tuple[list[Table], list[Section]]:
    """Returns tables of one prompt set and their curves over the steps. Errors: RunError where nothing was measured."""
    protocol = PROTOCOLS[plan.spec.protocol]
    values = plan.published(block)
    by_reward: list[Table] = []
    curves: list[Section] = []
    for reward in plan.rewards:
        here = [m for m in plan.measurements if m.block == block and reward in m.rewards]
        frames: dict[str, pd.DataFrame] = {}
        settings = None
        for measurement in here:
            spec = measurement_spec(plan, measurement, {measurement.row: list(measurement.runs)}, [reward])
            frames |= spec.measure_protocol(reward, store, log)
            settings = spec.protocol_settings()
        if settings is None:
            continue
        scale = "" if plan.on_paper_track or not values else f" Published: {plan.spec.paper_track}, for comparison only"
        about = f"{plan.track.model}, prompts {block.prompts}, reward {reward}.{scale}"
        name = f"{plan.spec.id.replace(':', '-')}-{reward}"
        table = protocol.table(frames, settings, about, name=name, published=values, quick=plan.quick)
        by_reward.append(table.model_copy(update={"title": f"{protocol.title}, {reward}"}))
        curves += [s.model_copy(update={"title": f"{s.title}, {reward}"}) for s in table_sections(table)[1:]]
    if not by_reward:
        raise RunError(f"nothing is known of {block.prompts}", "no row of it was measured", "run it again")
    return by_reward, curves


def win_rates(
    plan: Plan, block: Block, scores: Mapping[str, pd.DataFrame], name: str
) -> tuple[Table, dict[str, pd.DataFrame]]:
    """Compares each row with the base, training by training, from score rows with a column ``train_seed``.

    Returns the table, and by row the comparisons behind its shares of wins, with the win as the score.
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
    pairs = plan.track.rewards.items()
    shares = {(r, f"{ours}: win"): values[r, c] for ours, c in pairs for r in frames if (r, c) in values}
    scale = "" if plan.on_paper_track or not values else f" Published: {plan.spec.paper_track}, for order, not value"
    about = f"{plan.track.model}, prompts {block.prompts}.{scale}"
    table = protocol.table(frames, settings, about, name=name, published=shares, quick=plan.quick)
    title = {"title": f"Win rates on {block.prompts}"}
    return table.model_copy(update=title), {row: frame.assign(score=frame.win) for row, frame in frames.items()}
