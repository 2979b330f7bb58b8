"""``bench list``. Imports rows of other things than methods and rewards inside the function: these two stay quick."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from benchbench import registry
from benchbench.cli.options import Store
from benchbench.cli.ui import table
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
    """List methods, rewards, prompts, models, checkpoints, tables or runs.

    Methods are listed without loading them; `bench doctor` tells which methods, rewards and prompts do not load.
    """
    if what is What.methods:
        table(["method", "what"], [[name, registry.summary("methods", name)] for name in registry.names("methods")])
        return
    if what is What.rewards:
        table(["reward", "here", "what"], _rewards())
        return
    from benchbench.cli import list_rows

    if what is What.prompts:
        table(["prompts", "count", "here", "licence", "origin"], list_rows.prompts())
    elif what is What.models:
        table(["model", "here", "hub ids, tried in order"], list_rows.models())
    elif what is What.tables:
        table(["table", "what", "tracks"], list_rows.tables())
    elif what is What.checkpoints:
        columns = ["checkpoint", "method", "model", "here", "form", "licence", "the authors' sampler", "hub id"]
        table(columns, list_rows.checkpoints())
    else:
        table(list_rows.RUN_COLUMNS, list_rows.runs(store))


def _rewards() -> list[list[object]]:
    absent = lookup.present()[1]
    return [
        [name, _here(name, absent.get(name)), registry.summary("rewards", name)] for name in registry.names("rewards")
    ]


def _here(name: str, missing: str | None) -> str:
    """Returns yes, or no with the command that gets a reward's weights or the reason why nothing can."""
    if missing is None:
        return "yes"
    return f"no: bench fetch --rewards {name}" if lookup.fetchable(name) else f"no: {missing}"
