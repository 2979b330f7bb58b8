"""``bench reproduce``."""

from __future__ import annotations

from typing import Annotated

import typer

from benchbench.cli.options import Store, integers, words
from benchbench.cli.ui import resumable, say


def reproduce(
    table: Annotated[str, typer.Argument(metavar="PAPER:TABLE", help="tailorpo:2", show_default=False)],
    track: Annotated[str, typer.Option(help="shapes, sd15, sd21 or sdxl: the base model.")] = "shapes",
    quick: Annotated[bool, typer.Option("--quick", help="One reward, one seed: minutes; never a result.")] = False,
    train_seeds: Annotated[str, typer.Option(help="Seeds of the trainings.")] = "0,1,2",
    rows: Annotated[str, typer.Option(help="Only these rows, separated by commas.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and end.")] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes at a time. Default: one a core, or one on a GPU.")
    ] = None,
    store: Store = None,
) -> None:
    """Reproduce a published table: train, evaluate, and set the numbers beside the paper's."""
    from benchbench.papers.reproduce import reproduce
    from benchbench.store import root

    seeds = integers(train_seeds, "--train-seeds")
    with resumable():
        reproduce(
            table,
            track=track,
            quick=quick,
            train_seeds=seeds,
            rows=words(rows) or None,
            dry_run=dry_run,
            jobs=jobs,
            store=root(store),
            say=say,
        )
