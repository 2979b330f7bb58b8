"""``bench sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchbench.cli.backend_options import CardName, DryRun, Jobs, On, PrintCommands, RayAddress, Slurm
from benchbench.cli.options import Dtype, Store
from benchbench.cli.ui import log, log_to_stderr, resumable
from benchbench.reproduce import run
from benchbench.runtime.backends.choice import BackendChoice
from benchbench.store import root


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The sweep (docs/sweeps.md).", show_default=False)],
    quick: Annotated[bool, typer.Option("--quick", help="One seed and few columns: never a result.")] = False,
    dry_run: DryRun = False,
    card: CardName = None,
    print_commands: PrintCommands = False,
    on: On = "local",
    jobs: Jobs = None,
    slurm: Slurm = None,
    ray_address: RayAddress = "auto",
    dtype: Dtype = "auto",
    store: Store = None,
) -> None:
    """Compare methods, rewards, seeds and settings in one table. Trains, evaluates and writes a report."""
    with resumable():
        run.sweep(
            file,
            quick=quick,
            dry_run=dry_run,
            card=card,
            commands=log if print_commands else None,
            where=BackendChoice(on, jobs, tuple(slurm or ()), ray_address),
            dtype=dtype,
            store=root(store),
            log=log_to_stderr if print_commands else log,
        )
