"""``bench train-spm``. Imports the training, which loads torch and diffusers, only inside the function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchbench.cli.options import Store, finite
from benchbench.cli.ui import log
from benchbench.errors import UsageError
from benchbench.store import root


def train_spm(
    out: Annotated[Path, typer.Option(help="A new folder for spm.safetensors and record.json.")],
    pairs: Annotated[
        str, typer.Option(help="Number of pairs to draw and label in the shapes world, or a set (docs/pairs.md).")
    ] = "8000",
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps.")] = 500,
    batch: Annotated[int, typer.Option(min=1, help="Pairs a step.")] = 24,
    lr: Annotated[float, typer.Option(min=1e-12, callback=finite, help="AdamW's peak learning rate.")] = 1e-3,
    held_out: Annotated[int, typer.Option(min=2, help="Pairs on which it is compared with shapes-pref.")] = 600,
    seed: int = 1_100_000,
    bad_rows: Annotated[
        Literal["refuse", "skip"], typer.Option(help="What to do with a pair of a set that cannot be used.")
    ] = "refuse",
    store: Store = None,
) -> None:
    """Train the step-aware preference model of the shapes world. Compares it with shapes-pref on held-out pairs."""
    if out.exists():
        raise UsageError(f"{out} is there already", "nothing is overwritten", "choose another --out")
    count = int(pairs) if pairs.isdecimal() else 0
    if pairs.isdecimal() and count < 2:
        raise UsageError(f"--pairs {pairs} is too few", "training needs at least two", "leave --pairs out for 8000")
    source = f"{count} pairs" if count else f"the pairs {pairs}"
    log(f"training shapes-spm on {source}, {steps} steps of {batch}, seed {seed}; into {out}")

    from benchbench.shapes_build.spm_training import train_on_pairs

    accuracy = train_on_pairs(
        out,
        count or pairs,
        root(store),
        steps=steps,
        batch=batch,
        lr=lr,
        held_out=held_out,
        seed=seed,
        skip_bad=bad_rows == "skip",
        log=log,
    )
    log(
        f"orders {accuracy['step_aware']:.1%} of held-out pairs correctly at t >= 500, shapes-pref "
        f"{accuracy['plain']:.1%} (difference {accuracy['gain']:.1%}, standard error {accuracy['standard_error']:.1%})"
    )
