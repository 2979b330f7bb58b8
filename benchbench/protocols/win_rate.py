"""Win rate: how often an image of a model scores higher than the baseline's for the same prompt, number and seed.

DSPO's Table 1 and the user study of TailorPO count wins; here a reward is the judge. Both images start from one noise.
Scores that differ by no more than ``tie`` are a draw; draws are shown, and neither split nor dropped. Intervals on the
shares are Wilson's, clustered by prompt, and by training seed if there are several (stats/proportions.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from benchbench.errors import UsageError
from benchbench.evaluate.measure import measure
from benchbench.protocols.base import PaperProtocol, ProtocolCost, ProtocolSettings, Request, find_target
from benchbench.protocols.step_table import TableStyle
from benchbench.report.table import Cell, Column, Table, make_cell
from benchbench.runtime.words import counted
from benchbench.stats.proportions import share
from benchbench.store.runs import AdapterReference, find_adapter

OUTCOMES = ("win", "draw", "lose")  # columns of the table, for each reward
BETTER: dict[str, Literal["higher", "lower", ""]] = {"win": "higher", "draw": "", "lose": "lower"}
SAME = ["prompt_index", "prompt", "sample", "eval_seed", "reward", "version", "unit"]


class WinSettings(ProtocolSettings):
    """The settings of the protocol. The baseline is sampled like the run: by ``sampler``, or as the run was trained."""

    baseline: str | None = Field(None, description="a run or adapter folder; none: the base model")
    images_per_prompt: int = Field(5, ge=1, description="[TailorPO user study: 5]")
    eval_seeds: tuple[int, ...] = Field((0,), min_length=1, description="seeds of the images")
    tie: float = Field(0.0, ge=0, description="scores that differ by no more are a draw, in the reward's unit")
    unit: Literal["image", "prompt"] = Field("image", description="what is compared: images, or means over a prompt's")


class WinRate(PaperProtocol[WinSettings]):
    """Shares of wins, draws and losses against a baseline under a reward."""

    name = "win-rate"
    title = "Win rate"
    paper = "DSPO (ICLR 2025), Table 1; arXiv:2502.01667, user study"
    has_base = False
    Settings = WinSettings
    quick = WinSettings(images_per_prompt=1)

    def rows(self, asked: Request[WinSettings]) -> pd.DataFrame:
        """Returns a row per comparison: score, base_score, and win, draw, lose (1 or 0).

        The store keeps the images and scores, and not the comparisons, which take no time. Raises UsageError if the
        baseline is the model itself.
        """
        settings = asked.settings
        adapter, baseline = (
            find_adapter(asked.store, reference) if reference is not None else None
            for reference in (asked.run, settings.baseline)
        )
        if (adapter and adapter.weights.path) == (baseline and baseline.weights.path):
            both = settings.baseline or "the base model"
            raise UsageError("a model cannot be compared with itself", f"both are {both}", "name a run")
        target = find_target(replace(asked, run=adapter or baseline))
        rows: dict[str, list[AdapterReference]] = {
            "model": [adapter] if adapter else [],
            "baseline": [baseline] if baseline else [],
        }
        measured = measure(
            target.model,
            rows,
            asked.prompts,
            [target.reward],
            store=asked.store,
            images_per_prompt=settings.images_per_prompt,
            eval_seeds=settings.eval_seeds,
            sampler=target.evaluation,
            device=asked.device,
            dtype=asked.dtype,
            log=asked.log,
        )
        return compare(measured.frames["model"], measured.frames["baseline"], settings)

    def cost(self, settings: WinSettings, steps: int) -> ProtocolCost:
        """Returns the cost of one prompt: images of the model and of the baseline."""
        images = 2 * settings.images_per_prompt * len(settings.eval_seeds)
        return ProtocolCost(images * steps, 0, images, images)

    def make_table(self, frames: Mapping[str, pd.DataFrame], settings: WinSettings, style: TableStyle) -> Table:
        """Returns the table with columns ``R: win``, ``R: draw`` and ``R: lose`` per reward R."""
        rewards = list(dict.fromkeys(name for frame in frames.values() for name in frame.reward))
        cells: dict[str, dict[str, Cell]] = {row: {} for row in frames}
        for row, frame in frames.items():
            for reward in rewards:
                part = frame[frame.reward == reward]
                if part.empty:
                    continue
                for outcome in OUTCOMES:
                    mean = share(part.assign(score=part[outcome]), style.level)
                    key = f"{reward}: {outcome}"
                    cells[row][key] = make_cell(mean, None, style.published.get((row, key)))
        units = "images of one prompt, number and seed" if settings.unit == "image" else "mean scores of one prompt"
        caption = (
            f"{style.about}"
            f"Shares of comparisons with {settings.baseline or 'the base model'} that are won, drawn "
            f"(scores within {settings.tie:g}) and lost. In brackets: {style.level:.0%} interval clustered by prompt "
            f"(Wilson's for clustered samples). Compared are {units}; "
            f"{counted(settings.images_per_prompt, 'image')} a prompt, "
            f"evaluation seeds {', '.join(map(str, settings.eval_seeds))}."
        )
        return Table(
            name=style.name,
            title=self.title,
            caption=caption,
            rows=tuple(frames),
            columns=tuple(
                Column(key=f"{reward}: {word}", unit="share", better=better)
                for reward in rewards
                for word, better in BETTER.items()
            ),
            cells=cells,
            quick=style.quick,
        )


def compare(scores: pd.DataFrame, baseline: pd.DataFrame, settings: WinSettings) -> pd.DataFrame:
    """Returns score rows paired by prompt, sample, seed and reward, with the columns win, draw and lose.

    Raises UsageError if the model and the baseline were not sampled alike.
    """
    left, right = (frame[[*SAME, "score"]] for frame in (scores, baseline))
    paired = left.merge(right.rename(columns={"score": "base_score"}), on=SAME, validate="one_to_one")
    if len(paired) != len(scores) or len(paired) != len(baseline):
        raise UsageError(
            "two models cannot be compared image by image",
            "they were not sampled on the same prompts, sample numbers, evaluation seeds and reward version",
            "evaluate them again with the same options",
        )
    if settings.unit == "prompt":
        keys = [key for key in SAME if key not in ("sample", "eval_seed")]
        paired = paired.groupby(keys, as_index=False, sort=False)[["score", "base_score"]].mean()
    gap = paired.score - paired.base_score
    outcomes = {"win": gap > settings.tie, "draw": gap.abs() <= settings.tie, "lose": gap < -settings.tie}
    return paired.assign(**{name: np.asarray(value, float) for name, value in outcomes.items()})
