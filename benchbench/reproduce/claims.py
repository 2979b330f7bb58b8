"""The orders of two rows that a table states before it is run, tested as one family."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import pandas as pd

from benchbench.evaluate.measure import BASE
from benchbench.report.table import Column, Table, make_cell
from benchbench.reproduce.plan import Plan
from benchbench.reproduce.spec import Claim
from benchbench.stats.intervals import LEVEL
from benchbench.stats.multiple import corrected_verdicts
from benchbench.stats.paired import Difference, difference
from benchbench.stats.power import trainings_needed


def claims_table(plan: Plan, table: Table, frames: Mapping[str, pd.DataFrame]) -> Table | None:
    """Returns a row for each stated order and a column for each reward that it was stated of; None without a verdict.

    ``frames`` has the score rows behind ``table`` by row. Rewards that no row was trained on, and gold rewards, are not
    what an order was stated of. A cell holds the better row less the worse one, in the reward's unit and in standard
    deviations of the base over its images.
    """
    columns = [c for c in table.columns if c.key in plan.rewards and not c.held_out]
    untrained = frozenset(name for name, row in plan.spec.rows.items() if row.is_base or row.best_of > 1)
    found = {
        (claim, column.key): _difference(claim, column.key, frames, untrained)
        for claim in plan.spec.claims
        for column in columns
        if table.get(claim.better, column.key) and table.get(claim.worse, column.key)
    }
    if not found or not all(tested.decided for tested in found.values()):
        return None
    verdicts = corrected_verdicts(found)
    tests = next(iter(verdicts.values())).tests
    cells: dict[str, dict[str, object]] = {}
    for (claim, reward), tested in found.items():
        needed = trainings_needed([tested], tests, LEVEL)
        cell = make_cell(tested.raw, tested, verdict=verdicts[claim, reward], trainings_needed=needed)
        cells.setdefault(str(claim), {})[reward] = cell
    corrected = f", after Holm's correction for the {tests} stated ones" if tests > 1 else ""
    return Table(
        name=f"{table.name}-stated",
        title=f"{table.title}: stated beforehand",
        caption=f"The first row less the second, paired by training seed and prompt, for each order that was stated "
        f"before anything was run. SD: in standard deviations of {BASE} over its images. *: told apart from zero at "
        f"{1 - LEVEL:.0%}{corrected}. Protocol {table.protocol}.",
        rows=tuple(cells),
        columns=tuple(Column(key=c.key, unit=c.unit, version=c.version) for c in columns),
        cells=cells,
        protocol=table.protocol,
        quick=table.quick,
    )


def _difference(
    claim: Claim, reward: str, frames: Mapping[str, pd.DataFrame], untrained: Collection[str]
) -> Difference:
    """Returns the better row less the worse one, with the gain in the base's standard deviations where there is a base.

    A row of ``untrained`` serves every training of the other. Errors: UsageError where the rows were not sampled alike,
    or share no training seed.
    """
    turned = claim.better in untrained
    one, other = (claim.worse, claim.better) if turned else (claim.better, claim.worse)
    first, second = (frames[row][frames[row].reward == reward] for row in (one, other))
    found = difference(first, second, by_seed=other not in untrained, trained=one not in untrained)
    raw = found.raw.scaled(-1 if turned else 1)
    base = frames[BASE][frames[BASE].reward == reward] if BASE in frames else second
    deviation = float(base.score.std(ddof=1)) if len(base) > 1 else 0.0
    gain = raw.scaled(1 / deviation) if deviation > 0 else None
    return replace(found, raw=raw, gain=gain, base_deviation=deviation)
