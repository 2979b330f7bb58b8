"""Pictures of trainings that were stopped in time: what one training of each row makes at a bearable loss."""

from __future__ import annotations

from dataclasses import replace

from benchbench.evaluate.generate import Generation
from benchbench.evaluate.measure import BASE, Measured
from benchbench.report.grids import sample_grid
from benchbench.report.sections import GridSection
from benchbench.reproduce.plan import Plan, Stopped
from benchbench.reproduce.stopping import ALL_LOSSES, BEARABLE
from benchbench.stats.frontier import LOSSES, START


def stopped_grids(plan: Plan, group: str, measured: Measured) -> list[GridSection]:
    """Returns a grid at a loss of .05 and one at the largest loss, with a row for the base model and each method.

    ``measured`` has the images of the base model and of the chosen checkpoints on test prompts.
    """
    assert plan.spec.stop is not None
    first: dict[str, Stopped] = {}
    for stop in plan.stops:
        if stop.group == group:
            first.setdefault(stop.row, stop)
    base, grids = measured.generations[BASE][0], []
    for loss in (BEARABLE, LOSSES[-1]):
        rows = [base]
        for row, stop in first.items():
            samples = plan.stops[stop][ALL_LOSSES.index(loss)]
            images = base if samples == START else _of(plan, stop, samples, measured)
            rows.append(replace(images, label=f"{row}, {'untrained' if samples == START else f'{samples} images'}"))
        grid = sample_grid(rows, title=f"Samples at a loss of at most {loss:g}")
        seeds = ", ".join(map(str, sorted({stop.seed for stop in first.values()})))
        words = (
            f"Training seed {seeds}, stopped where {plan.spec.stop.guard} has fallen by at most {loss:g} on the "
            f"validation prompts. {grid.caption}"
        )
        grids.append(grid.model_copy(update={"caption": words}))
    return grids


def _of(plan: Plan, stop: Stopped, samples: int, measured: Measured) -> Generation:
    """Returns the images of one training at one checkpoint, of the first evaluation seed."""
    place = (stop.row, stop.group, samples)
    name = next(m.row for m in plan.measurements if (m.of, m.group, m.checkpoint) == place)
    trainings = list(dict.fromkeys(measured.frames[name].train_seed))
    generations = measured.generations[name]
    return generations[trainings.index(stop.seed) * len(generations) // len(trainings)]
