"""The outcome of a search: the reward, the guard and the cost of each checkpoint, and the choice among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchbench.reproduce.kept import kept_at
from benchbench.reproduce.plan import Plan
from benchbench.rewards import lookup
from benchbench.stats import paired
from benchbench.stats.intervals import Interval, mean
from benchbench.store.metrics import read_metrics
from benchbench.tune.plan import BASE, row_name
from benchbench.tune.search import Search


@dataclass(frozen=True)
class Values:
    """Numbers of one checkpoint: over all trainings of a rate, or of one of them."""

    reward: Interval
    gain: Interval
    """Reward minus that of the base model, in the reward's unit."""
    guard: Interval | None
    loss: float | None
    """The fall of the guard: in its unit where that is a fraction, else in standard deviations of the base's images.
    None without a guard."""
    nfe: float
    reward_calls: float


@dataclass(frozen=True)
class Point:
    """The trainings of one learning rate after so many images."""

    rate: float
    samples: int
    values: Values
    """Over the trainings."""
    by_seed: Mapping[int, Values]

    @property
    def name(self) -> str:
        """The name of its row."""
        return row_name(self.rate, self.samples)


@dataclass(frozen=True)
class Outcome:
    """The points of a search in order of rate and images, the chosen one, and the base model's values."""

    points: tuple[Point, ...]
    chosen: Point | None
    base: Values
    failed: tuple[float, ...]
    """Rates that are no candidates, since a training or a measurement failed."""


def guard_is_fraction(search: Search) -> bool:
    """Returns whether the guard's scores are fractions, whose loss is then counted in its own unit."""
    return bool(search.guard and lookup.get(search.guard).unit.startswith("fraction"))


def outcome(search: Search, plan: Plan, frames: Mapping[str, pd.DataFrame]) -> Outcome:
    """Returns what was found in score rows by row name; a rate without all of its trainings is no candidate."""
    base = frames[BASE]
    points, failed = [], []
    for rate in search.rates:
        trainings = {t.config.seed: t for t in plan.trainings if t.row == f"lr {rate:g}"}
        checkpoints = list(kept_at(search.training(rate, search.seeds[0])[0]))
        frames_of_rate = [frames.get(row_name(rate, samples)) for samples in checkpoints]
        if set(trainings) != set(search.seeds) or any(frame is None for frame in frames_of_rate):
            failed.append(rate)
            continue
        costs = {seed: _costs(training.out) for seed, training in trainings.items()}
        for samples, frame in zip(checkpoints, frames_of_rate, strict=True):
            assert frame is not None
            points.append(_point(search, rate, samples, frame, base, costs))
    none = Interval(0.0, 0.0, 0.0, 0, 0, 0)
    base_guard = mean(_of(base, search.guard)) if search.guard else None
    base_values = Values(mean(_of(base, search.reward)), none, base_guard, 0.0 if search.guard else None, 0, 0)
    return Outcome(tuple(points), choose(points, search.max_loss), base_values, tuple(failed))


def choose(points: Sequence[Point], max_loss: float) -> Point | None:
    """Returns the point with the most reward among those whose guard fell by at most ``max_loss``; None without one.

    Where there is no guard, every point is among them. Of equals the first one counts, the lower rate.
    """
    kept = [point for point in points if point.values.loss is None or point.values.loss <= max_loss]
    return max(kept, key=lambda point: point.values.reward.value, default=None)


def _point(
    search: Search,
    rate: float,
    samples: int,
    frame: pd.DataFrame,
    base: pd.DataFrame,
    costs: Mapping[int, Mapping[int, tuple[float, float]]],
) -> Point:
    spent = {seed: _spent(costs[seed], samples) for seed in search.seeds}
    by_seed = {seed: _values(search, frame[frame.train_seed == seed], base, [spent[seed]]) for seed in search.seeds}
    return Point(rate, samples, _values(search, frame, base, list(spent.values())), by_seed)


def _spent(costs: Mapping[int, tuple[float, float]], samples: int) -> tuple[float, float]:
    """Returns the costs of a run after so many images; of the row before them, where that row is lost."""
    return costs[max(seen for seen in costs if seen <= samples)]


def _values(search: Search, frame: pd.DataFrame, base: pd.DataFrame, costs: Sequence[tuple[float, float]]) -> Values:
    """Returns the values of trainings with these network evaluations and reward calls, of which it takes means."""
    nfe, calls = (sum(column) / len(costs) for column in zip(*costs, strict=True))
    ours = _of(frame, search.reward)
    gain = paired.difference(ours, _of(base, search.reward)).raw
    guard, loss = None, None
    if search.guard:
        guarded = _of(frame, search.guard)
        guard, difference = mean(guarded), paired.difference(guarded, _of(base, search.guard))
        fall = difference.raw if guard_is_fraction(search) else difference.gain
        loss = -fall.value if fall else 0.0
    return Values(mean(ours), gain, guard, loss, nfe, calls)


def _of(frame: pd.DataFrame, reward: str | None) -> pd.DataFrame:
    return frame[frame.reward == reward]


def _costs(run: Path) -> dict[int, tuple[float, float]]:
    """Returns the network evaluations and the reward calls of a run by the images that it had seen."""
    rows = [row for row in read_metrics(run) if {"nfe", "reward_calls"} <= set(row)]
    return {0: (0.0, 0.0)} | {row["samples"]: (row["nfe"], row["reward_calls"]) for row in rows}
