"""``bench check``."""

from __future__ import annotations

from typing import Annotated

import typer

from benchbench import contract
from benchbench import prompts as prompt_sets
from benchbench.cli.ui import table


def check(
    name: Annotated[
        str,
        typer.Argument(show_default=False, help="A method, a reward, a prompt set, or the address of a reward server."),
    ],
    prompts: Annotated[
        str | None, typer.Option(help="For a reward that needs metadata: a JSONL file or a set that has it.")
    ] = None,
) -> None:
    """Check that a method, reward or prompt set keeps its contract. Meant for authors of plug-ins."""
    kind, results = contract.run_checks(name, prompt_sets.load(prompts) if prompts else None)
    table([f"{kind} {name}", "result"], [[result.check, result] for result in results])
    contract.require_no_failure(kind, name, results)
