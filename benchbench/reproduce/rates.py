"""The sentences of a table's caption that say how the learning rate of each row was chosen."""

from __future__ import annotations

from benchbench.presets import rate_origin
from benchbench.reproduce.plan import Plan


def rates_sentence(plan: Plan) -> str:
    """Returns the learning rates of the rows, grouped by how they were chosen; empty without trainings."""
    by_origin: dict[str, dict[str, str]] = {}
    for training in plan.trainings:
        config = training.config
        origin = rate_origin(config.method, config.preset, training.overrides)
        by_origin.setdefault(origin, {})[training.row] = f"{config.train.lr:g}"
    if len(by_origin) == 1:
        [(origin, rates)] = by_origin.items()
        if len(rates) > 1 and len(set(rates.values())) == 1:
            return f"Learning rate of every training: {next(iter(rates.values()))} ({origin})."
    return " ".join(
        f"Learning rates ({origin}): {'; '.join(f'{row}: {rate}' for row, rate in rates.items())}."
        for origin, rates in by_origin.items()
    )
