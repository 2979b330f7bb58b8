"""``bench reproduce``: plan, train, measure, and set the numbers beside the paper's."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchbench import prompts as prompt_sets
from benchbench.diffusion import models
from benchbench.evaluate.measure import Measured, measure
from benchbench.evaluate.run import sections
from benchbench.papers import pool
from benchbench.papers.order import beside
from benchbench.papers.plan import Measurement, Plan, Training, plan
from benchbench.papers.spec import load, track_of
from benchbench.protocols.reward_table import reward_table
from benchbench.report import folder
from benchbench.report.progress import duration
from benchbench.report.sections import Page, Records, Section, Tables, Text
from benchbench.report.table import Cell, Column, Table
from benchbench.store.files import Say


def reproduce(
    table: str,
    *,
    store: Path,
    track: str = "shapes",
    quick: bool = False,
    train_seeds: Sequence[int] = (0,),
    rows: Sequence[str] | None = None,
    dry_run: bool = False,
    jobs: int | None = None,
    say: Say = print,
) -> Path | None:
    """Makes what is missing, writes the report and returns its folder; a dry run prints the plan and returns None.

    Killed anywhere and run again, it goes on from what is there. Errors: those of training and of measuring.
    """
    spec = load(table)
    cells = plan(spec, track_of(spec, track), store, rows=rows, seeds=train_seeds, quick=quick)
    missing = models.missing(cells.track.model)
    if missing and not dry_run:
        models.folder(cells.track.model)  # raises the error with what to do
    jobs = jobs or _jobs(cells)
    left = [t for t in cells.trainings if not t.done]
    size = "QUICK (one reward, one seed): " if quick else ""
    say(f"{spec.title} on the {track} track; {size}results go to {store}")
    estimate = f", about {duration(cells.seconds() / jobs)} in all" if cells.seconds() else ""
    say(
        f"{len(cells.trainings)} trainings of {cells.track.samples} images ({len(left)} left) and "
        f"{len(cells.measurements)} measurements, {jobs} at a time{estimate}"
    )
    for line in cells.skipped:
        say(f"not in the table: {line}")
    if missing:
        say(missing)
    if dry_run:
        for training in cells.trainings:
            say(f"{'done' if training.done else 'left'}: {training.out.name}")
        return None
    logs = store / "logs"
    pool.run([_train(t, cells, store, logs) for t in left], jobs, "training")
    pool.run([_measure(m, cells, store, logs) for m in _base_first(cells)], jobs, "measuring")
    return _report(cells, track, store, say)


def _jobs(cells: Plan) -> int:
    """One process a core on a CPU; one on a GPU, which a single training fills."""
    import torch

    return 1 if torch.cuda.is_available() else min(os.cpu_count() or 1, max(1, len(cells.trainings)))


def _train(training: Training, cells: Plan, store: Path, logs: Path) -> pool.Task:
    c = training.config
    weight = c.samples * cells.track.seconds_per_sample.get(c.method, 1.0)
    words = ["benchbench", "train", "--method", c.method, "--model", c.model, "--reward", c.reward]
    words += ["--prompts", c.prompts, "--samples", str(c.samples), "--seed", str(c.seed), "--store", str(store)]
    words += ["--out", str(training.out), "--resume"]
    name = f"{training.row} on {c.reward}, seed {c.seed}"
    return pool.Task(name, words, weight, logs / f"{training.out.name}.log")


def _measure(measurement: Measurement, cells: Plan, store: Path, logs: Path) -> pool.Task:
    cell = {
        "model": cells.track.model,
        "row": measurement.row,
        "runs": [str(path) for path in measurement.runs],
        "prompts": measurement.prompts,
        "rewards": _rewards(measurement.reward, cells),
        "images_per_prompt": measurement.images_per_prompt,
    }
    name = f"{measurement.row} on {measurement.prompts}"
    words = ["benchbench.papers.cell", str(store), json.dumps(cell)]
    weight = float(cells.images(measurement)) * (cells.track.seconds_per_image or 1.0)
    return pool.Task(name, words, weight, logs / f"measure-{measurement.row}-{measurement.prompts}.log")


def _base_first(cells: Plan) -> list[Measurement]:
    """The base model's images serve every reward: one measurement of each prompt set, then those of the methods."""
    base = {m.prompts: m for m in cells.measurements if not m.runs}
    return [*base.values(), *(m for m in cells.measurements if m.runs)]


def _rewards(reward: str, cells: Plan) -> list[str]:
    return [reward, *([cells.track.gold] if cells.track.gold else [])]


def _report(cells: Plan, track: str, store: Path, say: Say) -> Path:
    spec, chosen = cells.spec, cells.track
    blocks = list(dict.fromkeys((m.prompts, m.images_per_prompt) for m in cells.measurements))
    tables, measured = [], []
    for prompts, images in blocks:
        table, parts = _block(cells, prompts, images, store, say)
        tables.append(table)
        measured += parts
    body: list[Section] = [Tables(title=f"{spec.title}, on {chosen.model}", tables=tuple(tables))]
    body.append(Text(title="Beside the paper", paragraphs=(*beside(cells, track, tables[0]), *spec.notes)))
    body.append(Tables(title="As published", tables=(published(cells),)))
    rest: list[Section] = []  # of the first reward samples and curves on the training prompts, of the others curves
    records: dict[str, Any] = {}
    for i, found in enumerate(measured[: len(cells.rewards)]):
        for section in sections(found)[1:]:
            if section.kind == "records":
                records |= section.records
            elif i == 0 or section.kind == "curves":
                rest.append(section)
    rest.append(Records(records=records))
    page = Page(
        title=f"{spec.title} on {chosen.model}",
        intro=f"{spec.source}. {spec.about}",
        sections=(*body, *rest),
        quick=cells.quick,
    )
    out = folder.write(store, f"{spec.id.replace(':', '-')}-{track}", page)
    for table in tables:
        say("")
        say(table.markdown().rstrip())
    for line in beside(cells, track, tables[0]):
        say(line)
    say(f"report: {folder.page_file(out, cells.quick)}")
    return out


def _block(cells: Plan, prompts: str, images: int, store: Path, say: Say) -> tuple[Table, list[Measured]]:
    """One table on one prompt set: every reward's own trainings, each followed by the gold reward of the same."""
    frames: dict[str, list[pd.DataFrame]] = {row: [] for row in cells.rows}
    found, gold = [], cells.track.gold
    for reward in cells.rewards:
        here = [m for m in cells.measurements if m.reward == reward and m.prompts == prompts]
        rows = {m.row: list(m.runs) for m in here}
        one = measure(
            cells.track.model,
            rows,
            prompt_sets.load(prompts),
            _rewards(reward, cells),
            store=store,
            images_per_prompt=images,
            say=say,
        )
        found.append(one)
        for row, frame in one.frames.items():
            named = frame.assign(reward=frame.reward.where(frame.reward != gold, f"{gold} ({reward})"))
            frames[row].append(named)
    seen = "training" if prompts == cells.track.train_prompts else "held-out"
    column = {reward: cells.track.rewards[reward] for reward in cells.rewards}
    values = cells.spec.values() if seen == "training" else {}
    table = reward_table(
        {row: pd.concat(parts, ignore_index=True) for row, parts in frames.items() if parts},
        found[0].protocol.model_copy(update={"rewards": {k: v for f in found for k, v in f.protocol.rewards.items()}}),
        name=f"{cells.spec.id.replace(':', '-')}-{seen}",
        title=f"On {seen} prompts",
        published={(r, ours): values[r, c] for ours, c in column.items() for r in cells.rows if (r, c) in values},
        held_out=frozenset(f"{gold} ({reward})" for reward in cells.rewards),
        quick=cells.quick,
    )
    if values:
        pairs = ", ".join(f"{c} (beside {r})" for r, c in column.items())
        own = cells.spec.tracks.get(cells.spec.paper_track)
        scale = "" if own and own.model == cells.track.model else "; for order, not value"
        table = table.model_copy(
            update={"caption": f"{table.caption} Published: {cells.spec.source}, SD 1.5: {pairs}{scale}."}
        )
    return table, found


def published(cells: Plan) -> Table:
    """The paper's own table, all of its rows and columns."""
    values = cells.spec.values()
    rows, columns = list(dict.fromkeys(r for r, _ in values)), list(dict.fromkeys(c for _, c in values))
    return Table(
        name=f"{cells.spec.id.replace(':', '-')}-published",
        title=f"{cells.spec.source}, as printed",
        caption="Values of the paper on SD 1.5: on any other model they are compared by order, not by value.",
        rows=tuple(rows),
        columns=tuple(Column(key=c) for c in columns),
        cells={r: {c: Cell(value=values[r, c]) for c in columns if (r, c) in values} for r in rows},
    )
