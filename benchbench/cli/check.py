"""``bench check``."""

from __future__ import annotations

from typing import Annotated

import typer

from benchbench import contract
from benchbench.cli.ui import table


def check(name: Annotated[str, typer.Argument(show_default=False, help="A method, reward or prompt set.")]) -> None:
    """Check that a method, reward or prompt set keeps its contract. Meant for authors of plug-ins."""
    kind, results = contract.run_checks(name)
    table([f"{kind} {name}", "result"], [[result.check, result] for result in results])
    contract.require_no_failure(kind, name, results)
