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

GRID_LOSSES = (BEARABLE, LOSSES[-1])
SAMPLES = "Samples at a loss of at most"
"""The beginning of the titles of these grids."""


def stopped_grids(plan: Plan, group: str, measured: Measured) -> list[GridSection]:
    """Returns a grid for each of ``GRID_LOSSES``, with a row for the base model and each method.

    ``measured`` has the images of the base model and of the chosen checkpoints on test prompts. Errors: DamagedImage.
    """
    assert plan.spec.stop is not None
    first: dict[str, Stopped] = {}  # of each row, its first training
    for stop in plan.stops:
        if stop.group == group:
            first.setdefault(stop.row, stop)
    seeds = sorted({stop.seed for stop in first.values()})
    where = f" on {measured.conditions.prompts}" if len(plan.blocks) > 1 else ""
    trained = f", trained on {group or plan.track.train_reward or plan.rewards[0]}"
    base, grids = measured.generations[BASE][0], []
    for loss in GRID_LOSSES:
        rows = [base]
        for row, stop in first.items():
            samples = plan.stops[stop][ALL_LOSSES.index(loss)]
            images = base if samples == START else _of(plan, stop, samples, measured)
            rows.append(replace(images, label=f"{row}, {'untrained' if samples == START else f'{samples} images'}"))
        caption = (
            f"One training of each row (seed {', '.join(map(str, seeds))}), stopped where {plan.spec.stop.guard} has "
            f"fallen by at most {loss:g} on the validation prompts. Every row has the same prompts and noise; the "
            "prompts are evenly spread over the set, not selected."
        )
        grids.append(sample_grid(rows, f"{SAMPLES} {loss:g}{where}{trained}", caption))
    return grids


def _of(plan: Plan, stop: Stopped, samples: int, measured: Measured) -> Generation:
    """Returns the images of one training at one checkpoint, of the first evaluation seed."""
    place = (stop.row, stop.group, samples)
    name = next(m.row for m in plan.measurements if (m.of, m.group, m.checkpoint) == place)
    trainings = list(dict.fromkeys(measured.frames[name].train_seed))
    generations = measured.generations[name]
    return generations[trainings.index(stop.seed) * len(generations) // len(trainings)]
