"""Training curves: reward against samples and against what the samples cost; mean and range over training seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchbench.report.plots import compact
from benchbench.report.sections import Curves, Line, Panel, Tables
from benchbench.report.table import Cell, Column, Table
from benchbench.stats.cells import Cells
from benchbench.stats.intervals import of_cells
from benchbench.store.runs import Run

POINTS = 200  # of a curve: more cannot be seen, and a page stays small
REWARD, ORACLE = "eval.reward", "eval.oracle"
AXES = {
    "samples": "images trained on",
    "reward_calls": "reward calls",
    "nfe": "UNet evaluations",
    "seconds": "seconds of training",
}
COUNTED = (
    "In UNet evaluations an adapter's gradient counts as 2.2 and every weight's as 3.07, as their FLOPs do, and the "
    "evaluations on fixed noise are in."
)
Frames = Mapping[str, Sequence[pd.DataFrame]]  # by label, the metrics of each training seed


def from_runs(runs: Sequence[Run], labels: Mapping[Path, str] | None = None) -> list[Curves | Tables]:
    """The sections for finished runs: for each reward, its curves, several methods at equal costs, and, where an
    oracle was logged, the hacking panels.

    Runs of one label on one reward are its seeds; without a label (by folder) a run is called by its method.
    """
    from benchbench.store.metrics import read_metrics

    by_reward: dict[str, dict[str, list[pd.DataFrame]]] = {}
    for run in runs:
        config = run.config.get("config", {})
        methods = by_reward.setdefault(config.get("reward", "reward"), {})
        label = (labels or {}).get(run.path) or config.get("method", run.id)
        methods.setdefault(label, []).append(_counted_alike(pd.DataFrame(read_metrics(run.path))))
    makers = (training, equal_costs, hacking)
    sections = (make(frames, reward) for reward, frames in by_reward.items() for make in makers)
    return [section for section in sections if section is not None]


def _counted_alike(frame: pd.DataFrame) -> pd.DataFrame:
    """Metrics without ``nfe`` where an earlier version counted it: with a gradient as 3, without fixed evaluations."""
    return frame if "eval_forwards" in frame else frame.drop(columns="nfe", errors="ignore")


def training(runs: Frames, reward: str) -> Curves | None:
    """Reward against four costs, or None where nothing was logged.

    All four are shown, since reward per sample alone flatters a method that asks the reward more often.
    """
    panels = _panels(runs, [(x, REWARD, AXES[x], reward) for x in AXES])
    caption = (
        f"{reward} on fixed prompts and noise during training{_over(runs)}, against four costs of the same trainings. "
        + COUNTED
    )
    return Curves(title=f"Training on {reward}", caption=caption, panels=panels) if panels else None


def equal_costs(runs: Frames, reward: str) -> Tables | None:
    """Each method's reward at the largest cost that all of them reached, or None for a single method.

    Read off the curves, linearly between evaluations; the interval is over training seeds, by Student's t.
    """
    shared = {x: [_reached(frames, x) for frames in runs.values() if _have(frames, x, REWARD)] for x in AXES}
    budgets = {x: min(ends) for x, ends in shared.items() if len(ends) == len(runs) > 1 and min(ends) > 0}
    if not budgets:
        return None
    columns = {x: Column(key=f"{compact(float(f'{budget:.3g}'))} {AXES[x]}") for x, budget in budgets.items()}
    cells = {
        label: {columns[x].key: _at(frames, x, budget) for x, budget in budgets.items()}
        for label, frames in runs.items()
    }
    several = any(len(frames) > 1 for frames in runs.values())
    caption = (
        f"{reward} on fixed prompts and noise when the cost at the head of the column was reached, the largest that "
        f"all of these trainings reached. {COUNTED}"
        + (" In brackets: 95% interval over training seeds." if several else " One training each: no interval.")
    )
    table = Table(
        name=f"equal-cost-{reward}",
        title=f"{reward} at equal cost",
        caption=caption,
        rows=tuple(runs),
        columns=tuple(columns.values()),
        cells=cells,
    )
    return Tables(title="At equal cost", tables=(table,))


def _reached(frames: Sequence[pd.DataFrame], x: str) -> float:
    return min(float(frame[[x, REWARD]].dropna()[x].max()) for frame in frames)


def _at(frames: Sequence[pd.DataFrame], x: str, budget: float) -> Cell:
    curves = [frame[[x, REWARD]].dropna().groupby(x)[REWARD].mean() for frame in frames]
    values = np.array([[np.interp(budget, c.index.to_numpy(float), c.to_numpy(float))] for c in curves])
    found = of_cells(Cells(values, np.ones_like(values), (0,)))
    return Cell(value=found.value, low=found.low, high=found.high, seeds=found.seeds)


def hacking(runs: Frames, reward: str, oracle: str = "oracle (held out)") -> Curves | None:
    """The trained reward beside one that nobody trains on, or None where that was not logged."""
    shown = ((REWARD, reward), (ORACLE, oracle))
    panels = _panels(runs, [("samples", y, AXES["samples"], label) for y, label in shown])
    caption = (
        f"Left, the reward that was trained on; right, one that nothing was trained on{_over(runs)}. "
        "Where the left rises while the right falls, the reward is being hacked."
    )
    return Curves(title="Reward and oracle", caption=caption, panels=panels) if len(panels) == 2 else None


def _panels(runs: Frames, wanted: Sequence[tuple[str, str, str, str]]) -> tuple[Panel, ...]:
    panels = []
    for x, y, x_label, y_label in wanted:
        lines = tuple(band(label, frames, x, y) for label, frames in runs.items() if _have(frames, x, y))
        if lines:
            panels.append(Panel(x_label=x_label, y_label=y_label, lines=lines))
    return tuple(panels)


def _over(runs: Frames) -> str:
    seeds = max(len(frames) for frames in runs.values())
    return f", mean over {seeds} training seeds with a band from the lowest to the highest" if seeds > 1 else ""


def band(label: str, frames: Sequence[pd.DataFrame], x: str, y: str) -> Line:
    """The mean of several seeds' curves over the x that all of them reach, and their range where there are several."""
    curves = [frame[[x, y]].dropna().groupby(x)[y].mean() for frame in frames]
    start, stop = max(c.index[0] for c in curves), min(c.index[-1] for c in curves)
    grid = np.unique(np.concatenate([c.index.to_numpy(float) for c in curves]))
    grid = grid[(grid >= start) & (grid <= stop)]
    if len(grid) > POINTS:
        grid = grid[np.linspace(0, len(grid) - 1, POINTS).round().astype(int)]
    values = np.stack([np.interp(grid, c.index.to_numpy(float), c.to_numpy(float)) for c in curves])
    several = len(curves) > 1
    return Line(
        label=label,
        x=tuple(grid.tolist()),
        y=tuple(values.mean(0).tolist()),
        low=tuple(values.min(0).tolist()) if several else None,
        high=tuple(values.max(0).tolist()) if several else None,
    )


def _have(frames: Sequence[pd.DataFrame], x: str, y: str) -> bool:
    return all({x, y} <= set(frame.columns) and not frame[[x, y]].dropna().empty for frame in frames)
