"""The sentences on the learning rates of a plan's rows."""

from __future__ import annotations

from benchbench.evaluate.rates import Rate, rates_caption
from benchbench.presets import rate_origin
from benchbench.reproduce.plan import Plan


def rates_sentence(plan: Plan) -> str:
    """Returns the learning rates of the rows, grouped by how they were chosen; empty without trainings."""
    return rates_caption(
        Rate(t.row, rate_origin(t.config.method, t.config.preset, t.overrides), t.config.train.lr)
        for t in plan.trainings
    )
