"""Tables of the protocols that measure something of their own: a table a reward."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from benchbench.evaluate.measure import BASE
from benchbench.papers import tasks
from benchbench.papers.plan import Plan
from benchbench.papers.spec import Block
from benchbench.protocols import PROTOCOLS
from benchbench.protocols.run import sections
from benchbench.protocols.win_rate import WinSettings, compare
from benchbench.report.sections import Section
from benchbench.report.table import Table
from benchbench.store.files import Say


def tables(cells: Plan, block: Block, store: Path, say: Say) -> tuple[list[Table], list[Section]]:
    """What the store holds of one prompt set, and its curves over the steps."""
    protocol = PROTOCOLS[cells.spec.protocol]
    values = cells.spec.values(block.published) if block.published else {}
    made: list[Table] = []
    curves: list[Section] = []
    for reward in cells.rewards:
        here = [m for m in cells.measurements if m.block == block and reward in m.rewards]
        frames: dict[str, pd.DataFrame] = {}
        settings = None
        for one in here:
            cell = tasks.cell(cells, one, {one.row: list(one.runs)}, [reward])
            frames |= cell.own(reward, store, say)
            settings = cell.its_settings()
        beside = cells.track_name == cells.spec.paper_track
        scale = "" if beside or not values else f" Published: {cells.spec.paper_track}, for comparison only"
        about = f"{cells.track.model}, prompts {block.prompts}, reward {reward}.{scale}"
        name = f"{cells.spec.id.replace(':', '-')}-{reward}"
        table = protocol.table(frames, settings, about, name=name, published=values, quick=cells.quick)
        made.append(table.model_copy(update={"title": f"{protocol.title}, {reward}"}))
        curves += [s.model_copy(update={"title": f"{s.title}, {reward}"}) for s in sections(table)[1:]]
    return made, curves


def win_rates(cells: Plan, block: Block, scores: Mapping[str, pd.DataFrame], name: str) -> Table:
    """Each row against the base row, training by training, from score rows with a column ``train_seed``.

    Published win rates, printed in %, are shown as shares.
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
    values = cells.spec.values(block.published) if block.published else {}
    pairs = cells.track.rewards.items()
    shares = {(r, f"{ours}: win"): values[r, c] / 100 for ours, c in pairs for r in frames if (r, c) in values}
    about = f"{cells.track.model}, prompts {block.prompts}"
    table = protocol.table(frames, settings, about, name=name, published=shares, quick=cells.quick)
    return table.model_copy(update={"title": f"Win rates on {block.prompts}"})
