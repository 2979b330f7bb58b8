"""``bench reproduce``."""

from __future__ import annotations

from typing import Annotated

import typer

from benchbench.choice import split_names
from benchbench.cli.backend_options import CardName, DryRun, Jobs, On, PrintCommands, RayAddress, Slurm
from benchbench.cli.options import Dtype, Store, assignments, integers
from benchbench.cli.ui import log, log_to_stderr, resumable
from benchbench.reproduce import run
from benchbench.runtime.backends.choice import BackendChoice
from benchbench.store import root


def reproduce(
    table: Annotated[
        str,
        typer.Argument(metavar="PAPER:TABLE", help="tailorpo:2, or a sweep's file, as mine.yaml", show_default=False),
    ],
    track: Annotated[str, typer.Option(help="The base model: shapes, sd15, sd21 or sdxl.")] = "shapes",
    quick: Annotated[bool, typer.Option("--quick", help="One seed and few columns: minutes, never a result.")] = False,
    train_seeds: Annotated[
        str | None, typer.Option(help="Seeds of the trainings, separated by commas. Default: 0,1,2, or the file's.")
    ] = None,
    rows: Annotated[str, typer.Option(help="Make only these rows, separated by commas.")] = "",
    rewards: Annotated[str, typer.Option(help="Make only these rewards' columns, separated by commas.")] = "",
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD=ID", help="Evaluate this run or released checkpoint instead of a training."),
    ] = None,
    dry_run: DryRun = False,
    card: CardName = None,
    print_commands: PrintCommands = False,
    on: On = "local",
    jobs: Jobs = None,
    slurm: Slurm = None,
    ray_address: RayAddress = "auto",
    samples: Annotated[
        int | None, typer.Option(min=1, help="Images of each training instead of the table's: never a result.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE...", help="Settings of every training: never the table's result."),
    ] = None,
    dtype: Dtype = "auto",
    store: Store = None,
) -> None:
    """Reproduce a published table. Trains, evaluates and prints the numbers beside the paper's."""
    checkpoints = assignments(checkpoint or [], "--checkpoint", "tailorpo=RUN")
    seeds = integers(train_seeds, "--train-seeds") if train_seeds is not None else None
    with resumable():
        run.reproduce(
            table,
            track=track,
            quick=quick,
            train_seeds=seeds,
            rows=split_names(rows) or None,
            rewards=split_names(rewards) or None,
            checkpoints=checkpoints,
            dry_run=dry_run,
            card=card,
            commands=log if print_commands else None,
            where=BackendChoice(on, jobs, tuple(slurm or ()), ray_address),
            dtype=dtype,
            samples=samples,
            overrides=settings or [],
            store=root(store),
            log=log_to_stderr if print_commands else log,
        )
