"""The options of commands whose work is many jobs: where they run, and how many at a time."""

from __future__ import annotations

from typing import Annotated

import typer

On = Annotated[str, typer.Option("--on", help="Where the jobs run: local, ray (docs/ray.md) or slurm (docs/slurm.md).")]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", "--max-jobs", min=1, help="Jobs at a time. Default: one for each GPU or, without GPUs, for each core."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and exit.")]
CardName = Annotated[
    str | None,
    typer.Option("--card", help="With --dry-run: estimate hours, memory and disk on this GPU, as a100-40 or h100."),
]
PrintCommands = Annotated[
    bool,
    typer.Option(
        "--print-commands", help="Print the command of each job that is left, for a scheduler of your own, and exit."
    ),
]
Slurm = Annotated[
    list[str] | None,
    typer.Option("--slurm", metavar="KEY=VALUE,...", help="Options of sbatch: partition=gpu,time=8:00:00,gres=gpu:1."),
]
RayAddress = Annotated[
    str,
    typer.Option(help="A Ray cluster, as HOST:PORT. Default: the one that is there, else one of this machine."),
]
DrawingJobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", min=1, help="Processes that make images. Default: one for each GPU, or one where --device names it."
    ),
]
