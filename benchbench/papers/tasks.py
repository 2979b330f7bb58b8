"""A plan's cells as commands for the pool: each idempotent, each in a process of its own."""

from __future__ import annotations

from pathlib import Path

from benchbench.papers import estimate, pool
from benchbench.papers.cell import IMAGES, Cell
from benchbench.papers.plan import Measurement, Plan, Training
from benchbench.store.keys import digest


def trainings(cells: Plan, store: Path) -> list[pool.Task]:
    """``bench train --resume`` of every training that is not done."""
    return [_train(training, store) for training in cells.trainings if not training.done]


def _train(training: Training, store: Path) -> pool.Task:
    c = training.config
    words = ["benchbench", "train", "--method", c.method, "--model", c.model, "--reward", c.reward]
    words += ["--prompts", c.prompts, "--samples", str(c.samples), "--seed", str(c.seed), "--store", str(store)]
    words += ["--preset", c.preset, *(["--pairs", c.pairs] if c.pairs else [])]
    for override in training.overrides:
        words += ["--set", override]
    words += ["--out", str(training.out), "--resume"]
    name = f"{training.row} on {c.reward}, seed {c.seed}"
    log = store / "logs" / f"{training.out.name}.log"
    return pool.Task(name, words, estimate.training_seconds(c) or float(c.samples), log)


def measurements(cells: Plan, store: Path) -> list[pool.Task]:
    """One for each row and prompt set, with all of its rewards; the base model's first, which every row needs.

    Curves need none: they are what the trainings logged.
    """
    if cells.spec.protocol == "curve":
        return []
    merged: dict[tuple[str, ...], list[Measurement]] = {}
    for one in cells.measurements:
        merged.setdefault((one.row, one.prompts, str(one.block.images), *one.runs), []).append(one)
    parts = sorted(merged.values(), key=lambda part: bool(part[0].runs))
    return [_measure(part, cells, store) for part in parts]


def _measure(part: list[Measurement], cells: Plan, store: Path) -> pool.Task:
    first = part[0]
    rewards = list(dict.fromkeys(reward for one in part for reward in one.rewards))
    found = cell(cells, first, {first.row: list(first.runs)}, rewards)
    words = ["benchbench.papers.cell", str(store), found.model_dump_json()]
    log = store / "logs" / f"measure-{digest(found.model_dump(mode='json'))}.log"
    return pool.Task(f"{first.row} on {first.prompts}", words, float(first.images), log)


def cell(cells: Plan, like: Measurement, rows: dict[str, list[str]], rewards: list[str]) -> Cell:
    """Rows on one prompt set under the table's protocol; images are always scored by the gold reward too."""
    protocol, gold = cells.spec.protocol, cells.track.gold
    method = cells.spec.rows[like.row].method
    return Cell(
        protocol=protocol,
        model=cells.track.model,
        rows=rows,
        prompts=like.prompts,
        images=like.block.images,
        rewards=[*rewards, gold] if gold and protocol in IMAGES and gold not in rewards else rewards,
        sampler=cells.track.sampler,
        settings={**cells.track.settings, **({"method": method} if protocol == "cost" else {})},
        quick=cells.quick,
    )
