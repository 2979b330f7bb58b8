"""The figure of a sweep whose trainings are stopped in time: gain against the loss of the guard that is borne."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from benchbench.evaluate.measure import BASE
from benchbench.report.sections import Curve, CurveSection, Panel
from benchbench.reproduce.plan import Plan
from benchbench.reproduce.stopping import stopped_frames
from benchbench.stats.frontier import LOSSES
from benchbench.stats.intervals import LEVEL, Interval
from benchbench.stats.paired import difference


def frontier_figure(
    plan: Plan, group: str, frames: Mapping[str, pd.DataFrame], untrained: Mapping[str, pd.DataFrame]
) -> CurveSection | None:
    """Returns gains over the base model by row, in its standard deviations; None where the base does not vary.

    ``frames`` has the score rows of the base model and of checkpoints (``stopped_frames``), ``untrained`` those of rows
    without trainings, whose gain is the same at each loss.
    """
    assert plan.spec.stop is not None
    reward = group or plan.track.train_reward or plan.rewards[0]
    base = _of(frames[BASE], reward)
    at_loss = {loss: stopped_frames(plan, group, frames, [loss]) for loss in LOSSES}
    rows = [row for row in at_loss[LOSSES[0]] if row != BASE]
    lines = [_line(row, [_gain(_of(at_loss[loss][row], reward), base) for loss in LOSSES]) for row in rows]
    lines += [
        _line(row, [_gain(_of(frame, reward), base, trained=False)] * len(LOSSES)) for row, frame in untrained.items()
    ]
    shown = tuple(line for line in lines if line)
    if not shown:
        return None
    stop = plan.spec.stop
    caption = (
        f"Gain in {reward} over the base model, of trainings that are stopped where {stop.guard} has fallen by at most "
        f"so much on {stop.validation}. F(.2) is the mean height of a line. Bands: {LEVEL:.0%} interval."
    )
    x_label, y_label = f"largest loss of {stop.guard}", f"gain in {reward}, SD of the base"
    panel = Panel(x_label=x_label, y_label=y_label, lines=shown)
    return CurveSection(title=f"Gain in {reward} against what it costs", caption=caption, panels=(panel,))


def _of(frame: pd.DataFrame, reward: str) -> pd.DataFrame:
    return frame[frame.reward == reward]


def _gain(frame: pd.DataFrame, base: pd.DataFrame, trained: bool = True) -> Interval | None:
    return difference(frame, base, trained=trained).gain


def _line(row: str, gains: Iterable[Interval | None]) -> Curve | None:
    known = [gain for gain in gains if gain is not None]
    if len(known) < len(LOSSES):
        return None
    y = tuple(gain.value for gain in known)
    low, high = (
        tuple(end for end in ends if end is not None) for ends in zip(*((g.low, g.high) for g in known), strict=True)
    )
    if len(low) < len(y) or len(high) < len(y):  # one prompt and one training have no interval
        return Curve(label=row, x=LOSSES, y=y)
    return Curve(label=row, x=LOSSES, y=y, low=low, high=high)
