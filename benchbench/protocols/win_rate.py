"""Win rate: how often an image of a model scores higher than the baseline's for the same prompt, number and seed.

What DSPO's Table 1 and the user study of TailorPO count, with a reward as the judge. Both images start from one noise.
A draw is a score that differs by no more than ``tie``; draws are shown, never split or dropped. Intervals on the shares
are clustered by prompt (and by training seed where there are several); Wilson's, which takes every comparison as
independent, stands beside the share of wins, and is right only where there is one image a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from benchbench.errors import UsageError
from benchbench.evaluate.rows import Training
from benchbench.hub.models import LocalModel
from benchbench.protocols.measurement import Measurement, MeasureSettings, Price, Published, Run, target
from benchbench.protocols.step_table import said
from benchbench.report.table import Cell, Column, Table, make_cell
from benchbench.runtime.files import Log
from benchbench.stats import intervals
from benchbench.stats.intervals import LEVEL
from benchbench.stats.proportions import share, wilson
from benchbench.store.runs import adapter
from benchbench.types import PromptSet, Reward

OUTCOMES = ("win", "draw", "lose")
SAME = ["prompt_index", "prompt", "sample", "eval_seed", "reward", "version", "unit"]


class WinSettings(MeasureSettings):
    """``sampler`` None: the run's, and then the baseline's too."""

    baseline: str | None = Field(None, description="a run or adapter folder; none: the base model")
    images_per_prompt: int = Field(5, ge=1, description="[TailorPO user study: 5]")
    eval_seeds: tuple[int, ...] = Field((0,), min_length=1, description="seeds of the images")
    tie: float = Field(0.0, ge=0, description="scores that differ by no more are a draw, in the reward's unit")
    unit: Literal["image", "prompt"] = Field("image", description="what is compared: images, or means over a prompt's")


class WinRate(Measurement[WinSettings]):
    """Shares of wins, draws and losses against a baseline under a reward."""

    name = "win-rate"
    title = "Win rate"
    paper = "DSPO (ICLR 2025), Table 1; arXiv:2502.01667, user study"
    has_base = False
    Settings = WinSettings
    quick = WinSettings(images_per_prompt=1)

    def measure(
        self,
        model: str | LocalModel,
        run: Run,
        prompts: PromptSet,
        reward: str | type[Reward],
        settings: WinSettings,
        *,
        store: Path,
        device: str | None = None,
        dtype: str = "auto",
        log: Log = print,
    ) -> pd.DataFrame:
        """A row a comparison: score, base_score, and win, draw, lose (1 or 0). ``run`` None compares the base model.

        What is stored are the images and scores, each made once whoever asks; pairing them takes no time.
        """
        from benchbench.evaluate.measure import measure

        ours, base = (adapter(store, one) if one is not None else None for one in (run, settings.baseline))
        if (ours and ours.weights.path) == (base and base.weights.path):
            both = settings.baseline or "the base model"
            raise UsageError("a model cannot be compared with itself", f"both are {both}", "name a run")
        aim = target(model, ours or base, prompts, reward, settings, store, device, dtype, log)
        rows: dict[str, list[Training]] = {"ours": [ours] if ours else [], "baseline": [base] if base else []}
        found = measure(
            aim.model,
            rows,
            prompts,
            [aim.reward],
            store=store,
            images_per_prompt=settings.images_per_prompt,
            eval_seeds=settings.eval_seeds,
            sampler=aim.sampler,
            device=device,
            dtype=dtype,
            log=log,
        )
        return compare(found.frames["ours"], found.frames["baseline"], settings)

    def cost(self, settings: WinSettings, steps: int) -> Price:
        """Of one prompt: a model's and the baseline's images."""
        images = 2 * settings.images_per_prompt * len(settings.eval_seeds)
        return Price(images * steps, 0, images, images)

    def table(
        self,
        frames: Mapping[str, pd.DataFrame],
        settings: WinSettings,
        about: str = "",
        *,
        name: str | None = None,
        published: Published | None = None,
        quick: bool = False,
        level: float = LEVEL,
    ) -> Table:
        """Columns ``R: win``, ``R: win (Wilson)``, ``R: draw`` and ``R: lose`` for each reward R in the frames.

        Published values are by (row, column) too.
        """
        rewards = list(dict.fromkeys(name for frame in frames.values() for name in frame.reward))
        cells: dict[str, dict[str, Cell]] = {row: {} for row in frames}
        for row, frame in frames.items():
            for reward in rewards:
                part = frame[frame.reward == reward]
                if part.empty:
                    continue
                for outcome in OUTCOMES:
                    mean = share(part.assign(score=part[outcome]), level)
                    key = f"{reward}: {outcome}"
                    cells[row][key] = make_cell(mean, None, (published or {}).get((row, key)))
                    if outcome == "win":
                        low, high = wilson(float(part.win.sum()), len(part), level)
                        wide = intervals.Interval(mean.value, low, high, mean.images, mean.prompts, mean.seeds)
                        cells[row][f"{key} (Wilson)"] = make_cell(wide)
        words = [
            w for outcome in OUTCOMES for w in ([outcome, f"{outcome} (Wilson)"] if outcome == "win" else [outcome])
        ]
        what = "images of one prompt, number and seed" if settings.unit == "image" else "mean scores of one prompt"
        caption = (
            f"{said(about)}Shares of comparisons with {settings.baseline or 'the base model'} that are won, drawn "
            f"(scores within {settings.tie:g}) and lost; compared are {what}; {settings.images_per_prompt} images a "
            f"prompt, evaluation seeds {', '.join(map(str, settings.eval_seeds))}. In brackets: {level:.0%} interval "
            f"clustered by prompt; Wilson: taking comparisons as independent."
        )
        return Table(
            name=name or self.name,
            title=self.title,
            caption=caption,
            rows=tuple(frames),
            columns=tuple(Column(key=f"{reward}: {word}", unit="share") for reward in rewards for word in words),
            cells=cells,
            quick=quick,
            ranked=False,
        )


def compare(ours: pd.DataFrame, baseline: pd.DataFrame, settings: WinSettings) -> pd.DataFrame:
    """Score rows paired by prompt, sample, seed and reward, with win, draw and lose.

    Errors: UsageError where the two were not sampled alike.
    """
    left, right = (frame[[*SAME, "score"]] for frame in (ours, baseline))
    both = left.merge(right.rename(columns={"score": "base_score"}), on=SAME, validate="one_to_one")
    if len(both) != len(ours) or len(both) != len(baseline):
        raise UsageError(
            "two models cannot be compared image by image",
            "they were not sampled on the same prompts, sample numbers, evaluation seeds and reward version",
            "evaluate them again with the same options",
        )
    if settings.unit == "prompt":
        keys = [key for key in SAME if key not in ("sample", "eval_seed")]
        both = both.groupby(keys, as_index=False, sort=False)[["score", "base_score"]].mean()
    gap = both.score - both.base_score
    won = {"win": gap > settings.tie, "draw": gap.abs() <= settings.tie, "lose": gap < -settings.tie}
    return both.assign(**{name: np.asarray(value, float) for name, value in won.items()})
