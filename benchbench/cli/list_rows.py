"""The rows that ``bench list`` prints of prompts, models, checkpoints, runs and tables."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from benchbench import defaults, registry
from benchbench import prompts as prompt_sets
from benchbench.hub import models as base_models
from benchbench.hub import weights
from benchbench.hub.released import RELEASED
from benchbench.reproduce import spec
from benchbench.runtime.output import write_line
from benchbench.store import existing_root
from benchbench.store.run_index import shown_runs

Rows = list[list[object]]
RUN_COLUMNS = ["run", "state", "samples", "method", "model", "reward", "seed", "last change"]


def prompts() -> Rows:
    """Returns names, number of prompts, "yes" or how to get them, licence and origin."""
    rows: Rows = []
    for name in prompt_sets.names():
        entry = prompt_sets.index().get(name)
        names = ", ".join([name, *entry.aliases]) if entry else name
        count = entry.count if entry else "?"
        origin = entry.origin if entry else registry.summary("prompts", name)
        licence = entry.licence if entry else "see bench show prompts"
        rows.append([names, count, prompt_sets.missing(name) or "yes", licence, origin])
    return rows


def models() -> Rows:
    """Returns names, "yes" or how to get them, and hub ids."""
    hub_ids = {**dict.fromkeys(defaults.EMBEDDED, ("embedded",)), **base_models.aliases()}
    return [[name, base_models.missing(name) or "yes", ", ".join(ids)] for name, ids in hub_ids.items()]


def checkpoints() -> Rows:
    """Returns the released checkpoints: name, method, base, "yes" or how to get it, form, licence, sampler and hub id.

    The sampler is that of the authors' own examples, since the files do not hold it.
    """
    rows: Rows = []
    for name, entry in RELEASED.items():
        here = weights.missing(name) or "yes"
        rows.append([name, entry.method, entry.base, here, entry.layout, entry.licence, str(entry.sampler), entry.repo])
    return rows


def runs(store: Path | None) -> Rows:
    """Returns the runs of a store, as ``RUN_COLUMNS`` names them. Raises UsageError where there is no such store."""
    folder = existing_root(store)
    if not folder.is_dir():
        write_line(f"there is no store {folder} yet", sys.stderr)
    return [
        [
            *(run.id, run.state, f"{run.seen} of {run.planned}"),
            *(run.method, run.model, run.reward, run.seed),
            datetime.fromtimestamp(run.changed).strftime("%Y-%m-%d %H:%M"),
        ]
        for run in shown_runs(folder)
    ]


def tables() -> Rows:
    """Returns the tables that can be reproduced: name, title and tracks."""
    specs = {name: spec.load(name) for name in spec.names()}
    return [[name, table.title, ", ".join(table.tracks)] for name, table in specs.items()]
