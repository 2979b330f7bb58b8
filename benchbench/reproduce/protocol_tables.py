"""Tables of the protocols that measure something of their own: a table a reward."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from benchbench.errors import RunError
from benchbench.evaluate.measure import BASE
from benchbench.protocols import PROTOCOLS
from benchbench.protocols.run import sections
from benchbench.protocols.win_rate import WinSettings, compare
from benchbench.report.sections import Section
from benchbench.report.table import Table
from benchbench.reproduce import jobs
from benchbench.reproduce.plan import Plan
from benchbench.reproduce.spec import Block
from benchbench.runtime.files import Say


def tables(cells: Plan, block: Block, store: Path, say: Say) -> tuple[list[Table], list[Section]]:
    """What the store holds of one prompt set, and its curves over the steps. Errors: RunError where that is nothing."""
    protocol = PROTOCOLS[cells.spec.protocol]
    values = cells.published(block)
    made: list[Table] = []
    curves: list[Section] = []
    for reward in cells.rewards:
        here = [m for m in cells.measurements if m.block == block and reward in m.rewards]
        frames: dict[str, pd.DataFrame] = {}
        settings = None
        for one in here:
            cell = jobs.cell(cells, one, {one.row: list(one.runs)}, [reward])
            frames |= cell.own(reward, store, say)
            settings = cell.its_settings()
        if settings is None:
            continue
        scale = (
            "" if cells.on_paper_track or not values else f" Published: {cells.spec.paper_track}, for comparison only"
        )
        about = f"{cells.track.model}, prompts {block.prompts}, reward {reward}.{scale}"
        name = f"{cells.spec.id.replace(':', '-')}-{reward}"
        table = protocol.table(frames, settings, about, name=name, published=values, quick=cells.quick)
        made.append(table.model_copy(update={"title": f"{protocol.title}, {reward}"}))
        curves += [s.model_copy(update={"title": f"{s.title}, {reward}"}) for s in sections(table)[1:]]
    if not made:
        raise RunError(f"nothing is known of {block.prompts}", "no row of it was measured", "run it again")
    return made, curves


def win_rates(
    cells: Plan, block: Block, scores: Mapping[str, pd.DataFrame], name: str
) -> tuple[Table, dict[str, pd.DataFrame]]:
    """Each row against the base row, training by training, from score rows with a column ``train_seed``.

    Beside the table the rows behind its shares of wins, with the win as the score.
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
    values = cells.published(block)
    pairs = cells.track.rewards.items()
    shares = {(r, f"{ours}: win"): values[r, c] for ours, c in pairs for r in frames if (r, c) in values}
    scale = "" if cells.on_paper_track or not values else f" Published: {cells.spec.paper_track}, for order, not value"
    about = f"{cells.track.model}, prompts {block.prompts}.{scale}"
    table = protocol.table(frames, settings, about, name=name, published=shares, quick=cells.quick)
    title = {"title": f"Win rates on {block.prompts}"}
    return table.model_copy(update=title), {row: frame.assign(score=frame.win) for row, frame in frames.items()}
