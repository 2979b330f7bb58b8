"""``bench leaderboard``. Imports what loads pandas only inside the function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchbench.cli.options import Store
from benchbench.cli.ui import log
from benchbench.store import root


def leaderboard(
    reports: Annotated[
        list[Path], typer.Argument(help="Reports of sweeps with stop, one for each reward.", show_default=False)
    ],
    store: Store = None,
) -> None:
    """Rank methods on one page, from the reports of sweeps that stop trainings in time.

    A row a method, the highest F(.2) first, with its gain at a loss of .05, the oracle, other rewards, the best of
    several images of the base model, and costs (docs/sweeps.md).
    """
    from benchbench.reproduce.leaderboard import leaderboard as make

    make(reports, root(store), log)
