"""``bench check``."""

from __future__ import annotations

from typing import Annotated

import typer

from benchbench.cli.ui import table


def check(name: Annotated[str, typer.Argument(show_default=False, help="A method, reward or prompt set.")]) -> None:
    """Try out whether a method, a reward or a prompt set keeps its contract; meant for plug-ins."""
    from benchbench.contract import report

    kind, findings = report(name)
    table([f"{kind} {name}", "result"], [[finding.what, "holds"] for finding in findings])
