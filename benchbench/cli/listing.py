"""``bench list``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from benchbench import registry
from benchbench.cli.options import Store
from benchbench.cli.ui import table
from benchbench.errors import BenchError
from benchbench.rewards import lookup


class What(StrEnum):
    """What can be listed."""

    methods = "methods"
    rewards = "rewards"
    prompts = "prompts"
    models = "models"
    checkpoints = "checkpoints"
    runs = "runs"
    tables = "tables"


def list_names(what: Annotated[What, typer.Argument(show_default=False)], store: Store = None) -> None:
    """List methods, rewards, prompt sets, models, released checkpoints, the runs of a store or tables."""
    if what is What.methods:
        table(["method", "what"], [[name, registry.summary("methods", name)] for name in registry.names("methods")])
    elif what is What.rewards:
        table(["reward", "here", "what"], _rewards())
    elif what is What.prompts:
        table(["prompts", "count", "here", "licence", "origin"], _prompts())
    elif what is What.models:
        table(["model", "here", "hub ids, tried in order"], _models())
    elif what is What.tables:
        table(["table", "what", "tracks"], _tables())
    elif what is What.checkpoints:
        table(["checkpoint", "method", "model", "here", "form", "licence", "hub id"], _checkpoints())
    else:
        from benchbench.store import root

        table(["run", "state", "samples", "folder"], _runs(root(store)))


def _rewards() -> list[list[object]]:
    skipped = lookup.present()[1]
    return [
        [name, _here(name, skipped.get(name)), registry.summary("rewards", name)] for name in registry.names("rewards")
    ]


def _here(name: str, missing: str | None) -> str:
    if missing is None:
        return "yes"
    try:
        fetched = bool(lookup.get(name).assets)
    except BenchError:  # a plug-in that does not load
        fetched = False
    return f"no: bench fetch --rewards {name}" if fetched else f"no: {missing}"


def _prompts() -> list[list[object]]:
    from benchbench import prompts

    rows: list[list[object]] = []
    for name in prompts.names():
        entry = prompts.index().get(name)
        shown = ", ".join([name, *entry.aliases]) if entry else name
        count = entry.count if entry else "?"
        origin = entry.origin if entry else registry.summary("prompts", name)
        licence = entry.licence if entry else "see bench show prompts"
        rows.append([shown, count, prompts.missing(name) or "yes", licence, origin])
    return rows


def _models() -> list[list[object]]:
    from benchbench.hub import models

    known = {"shapes": ("embedded",), **models.aliases()}
    return [[name, models.missing(name) or "yes", ", ".join(ids)] for name, ids in known.items()]


def _checkpoints() -> list[list[object]]:
    from benchbench.hub import weights
    from benchbench.hub.released import RELEASED

    return [
        [name, known.method, known.base, weights.missing(name) or "yes", known.layout, known.licence, known.repo]
        for name, known in RELEASED.items()
    ]


def _runs(store: Any) -> list[list[object]]:
    from benchbench.store import runs

    return [
        [run.id, run.state, run.config.get("config", {}).get("samples", "?"), run.path] for run in runs.all_runs(store)
    ]


def _tables() -> list[list[object]]:
    from benchbench.reproduce import spec

    return [[name, found.title, ", ".join(found.tracks)] for name in spec.names() if (found := spec.load(name))]
