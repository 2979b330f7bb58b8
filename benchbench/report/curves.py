"""Training curves: the reward against the samples and their costs, as mean and range over training seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import stdev

import numpy as np
import pandas as pd

from benchbench.report.plots import compact
from benchbench.report.sections import Curve, CurveSection, Panel, TableSection
from benchbench.report.table import Cell, Column, Table
from benchbench.runtime.sealed import find_sealed
from benchbench.samplers import apart_in_words
from benchbench.stats.intervals import mean_of_matrix
from benchbench.stats.matrix import ScoreMatrix
from benchbench.store.metrics import read_metrics
from benchbench.store.runs import Run

MAX_POINTS = 200  # at most in a curve, which keeps a page small
REWARD, ORACLE = "eval.reward", "eval.oracle"
BASE_SCORES = "base_scores.json"  # in the folder of a run
COSTS = {
    "samples": "images trained on",
    "reward_calls": "reward calls",
    "nfe": "network evaluations",
    "seconds": "seconds of training",
}
COUNTING = (
    "Network evaluations count by FLOPs: an evaluation with a gradient of an adapter is 2.2, one with a gradient of "
    "all weights 3.07; evaluations on fixed noise are included."
)
MetricsByLabel = Mapping[str, Sequence[pd.DataFrame]]  # the metrics of each training seed, by label
Spans = Mapping[str, float]  # by logged quantity: the SD of the untrained model's images, which an axis spans at least


def from_runs(runs: Sequence[Run], labels: Mapping[Path, str] | None = None) -> list[CurveSection | TableSection]:
    """Returns the sections on finished runs, for each reward.

    These are training curves, several methods compared at equal cost, and the reward beside the oracle where an oracle
    was logged.

    ``labels`` has the label of a run by its folder; other runs are labelled with their method. Runs with the same label
    and reward are training seeds. A run that comes several times, once for each of its checkpoints, is one of them.
    """
    runs = list({run.path: run for run in runs}.values())
    by_reward: dict[str, dict[str, list[pd.DataFrame]]] = {}
    spans: dict[str, dict[str, float]] = {}
    for run in runs:
        config = run.config.get("config", {})
        reward = config.get("reward", "reward")
        methods = by_reward.setdefault(reward, {})
        label = (labels or {}).get(run.path) or config.get("method", run.id)
        frame = _drop_old_counts(pd.DataFrame(read_metrics(run.path)))
        methods.setdefault(label, []).append(frame)
        spans[reward] = _spans(run, frame) | spans.get(reward, {})
    settings = [run.config.get("config", {}) for run in runs]
    sections: list[CurveSection | TableSection] = []
    for reward, frames in by_reward.items():
        words = apart_in_words(config for config in settings if config.get("reward", "reward") == reward)
        made = (
            training_curves(frames, reward, spans[reward]),
            equal_cost_table(frames, reward),
            hacking_curves(frames, reward, spans[reward]),
        )
        sections += [_with_samplers(section, words) for section in made if section is not None]
    return sections


def _with_samplers(section: CurveSection | TableSection, words: str) -> CurveSection | TableSection:
    """Adds to the captions how the runs are trained and evaluated, where the two differ."""
    if not words:
        return section
    sentence = f" {words[0].upper()}{words[1:]}."
    if isinstance(section, CurveSection):
        return section.model_copy(update={"caption": section.caption + sentence})
    tables = (table.model_copy(update={"caption": table.caption + sentence}) for table in section.tables)
    return section.model_copy(update={"tables": tuple(tables)})


def _spans(run: Run, metrics: pd.DataFrame) -> dict[str, float]:
    """Returns the standard deviation of the untrained model's images under the reward and under the oracle.

    A run keeps the former's scores. Of the oracle, which is a share of 0 to 1, it is at most that of yes and no.
    """
    scores = (find_sealed(run.path / BASE_SCORES) or {}).get("scores", [])
    spans = {REWARD: stdev(scores)} if len(scores) > 1 else {}
    oracle = metrics[ORACLE].dropna() if ORACLE in metrics else pd.Series(dtype=float)
    if not oracle.empty and 0 <= oracle.iloc[0] <= 1:
        spans[ORACLE] = sqrt(oracle.iloc[0] * (1 - oracle.iloc[0]))
    return spans


def _drop_old_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Drops ``nfe`` of earlier versions, which counted a gradient as 3 and left out evaluations on fixed noise."""
    return frame if "eval_forwards" in frame else frame.drop(columns="nfe", errors="ignore")


def training_curves(runs: MetricsByLabel, reward: str, spans: Spans) -> CurveSection | None:
    """Returns the reward against four costs, or None where nothing was logged.

    The reward per sample alone would favour a method that calls the reward more often.
    """
    panels = _panels(runs, [(x, REWARD, COSTS[x], reward) for x in COSTS], spans)
    caption = (
        f"{reward} on fixed prompts and noise during training{_seeds_phrase(runs)}, against four costs of the same "
        f"trainings. {_span_phrase(spans)}{COUNTING}"
    )
    return CurveSection(title=f"Training on {reward}", caption=caption, panels=panels) if panels else None


def equal_cost_table(runs: MetricsByLabel, reward: str) -> TableSection | None:
    """Returns each method's reward at the largest cost that all of them reached, or None for a single method.

    Rewards are interpolated linearly between evaluations. Intervals are Student's t over training seeds.
    """
    reached = {
        x: [_largest_cost(frames, x) for frames in runs.values() if _have_logged(frames, x, REWARD)] for x in COSTS
    }
    budgets = {x: min(costs) for x, costs in reached.items() if len(costs) == len(runs) > 1 and min(costs) > 0}
    if not budgets:
        return None
    columns = {
        x: Column(key=f"{compact(float(f'{budget:.3g}'))} {COSTS[x]}", better="higher") for x, budget in budgets.items()
    }
    cells = {
        label: {columns[x].key: _cell_at(frames, x, budget) for x, budget in budgets.items()}
        for label, frames in runs.items()
    }
    several_seeds = any(len(frames) > 1 for frames in runs.values())
    caption = (
        f"{reward} on fixed prompts and noise, at the cost in the column's heading, which is the largest that all of "
        f"these trainings reached. {COUNTING}"
        + (" In brackets: 95% interval over training seeds." if several_seeds else " One training each: no interval.")
    )
    table = Table(
        name=f"equal-cost-{reward}",
        title=f"{reward} at equal cost",
        caption=caption,
        rows=tuple(runs),
        columns=tuple(columns.values()),
        cells=cells,
    )
    return TableSection(title="At equal cost", tables=(table,))


def _largest_cost(frames: Sequence[pd.DataFrame], x: str) -> float:
    """Returns the largest cost x that every seed reached with an evaluation."""
    return min(float(frame[[x, REWARD]].dropna()[x].max()) for frame in frames)


def _cell_at(frames: Sequence[pd.DataFrame], x: str, budget: float) -> Cell:
    """Returns the mean reward over seeds where the cost x is ``budget``."""
    curves = [frame[[x, REWARD]].dropna().groupby(x)[REWARD].mean() for frame in frames]
    values = np.array([[np.interp(budget, c.index.to_numpy(float), c.to_numpy(float))] for c in curves])
    mean = mean_of_matrix(ScoreMatrix(values, np.ones_like(values), (0,)))
    return Cell(value=mean.value, low=mean.low, high=mean.high, seeds=mean.seeds)


def hacking_curves(runs: MetricsByLabel, reward: str, spans: Spans) -> CurveSection | None:
    """Returns the trained reward beside one that is never trained on, or None where that was not logged."""
    quantities = ((REWARD, reward), (ORACLE, "oracle (held out)"))
    panels = _panels(runs, [("samples", y, COSTS["samples"], label) for y, label in quantities], spans)
    caption = (
        f"Left: the reward that was trained on. Right: one that nothing was trained on{_seeds_phrase(runs)}. "
        "Where the left one rises and the right one falls, the reward is being hacked."
        f"{' ' if spans else ''}{_span_phrase(spans).strip()}"
    )
    return CurveSection(title="Reward and oracle", caption=caption, panels=panels) if len(panels) == 2 else None


def _span_phrase(spans: Spans) -> str:
    """Returns the sentence on what the axes span at least; empty where that is unknown."""
    return "Each vertical axis spans at least one standard deviation of the untrained model's images. " if spans else ""


def _panels(runs: MetricsByLabel, axes: Sequence[tuple[str, str, str, str]], spans: Spans) -> tuple[Panel, ...]:
    """Returns a panel for each (x, y, x label, y label) that was logged."""
    panels = []
    for x, y, x_label, y_label in axes:
        lines = tuple(mean_curve(label, frames, x, y) for label, frames in runs.items() if _have_logged(frames, x, y))
        if lines:
            panels.append(Panel(x_label=x_label, y_label=y_label, lines=lines, least_span=spans.get(y)))
    return tuple(panels)


def _seeds_phrase(runs: MetricsByLabel) -> str:
    seeds = max(len(frames) for frames in runs.values())
    return f", mean over {seeds} training seeds with a band from the lowest to the highest" if seeds > 1 else ""


def mean_curve(label: str, frames: Sequence[pd.DataFrame], x: str, y: str) -> Curve:
    """Returns the mean of the seeds' curves, over the x that all of them reach; several seeds also give their range."""
    curves = [frame[[x, y]].dropna().groupby(x)[y].mean() for frame in frames]
    start, stop = max(c.index[0] for c in curves), min(c.index[-1] for c in curves)
    grid = np.unique(np.concatenate([c.index.to_numpy(float) for c in curves]))
    grid = grid[(grid >= start) & (grid <= stop)]
    if len(grid) > MAX_POINTS:
        grid = grid[np.linspace(0, len(grid) - 1, MAX_POINTS).round().astype(int)]
    values = np.stack([np.interp(grid, c.index.to_numpy(float), c.to_numpy(float)) for c in curves])
    several_seeds = len(curves) > 1
    return Curve(
        label=label,
        x=tuple(grid.tolist()),
        y=tuple(values.mean(0).tolist()),
        low=tuple(values.min(0).tolist()) if several_seeds else None,
        high=tuple(values.max(0).tolist()) if several_seeds else None,
    )


def _have_logged(frames: Sequence[pd.DataFrame], x: str, y: str) -> bool:
    """Returns True if every seed logged x and y together."""
    return all({x, y} <= set(frame.columns) and not frame[[x, y]].dropna().empty for frame in frames)
