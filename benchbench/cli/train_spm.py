"""``bench train-spm``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchbench.cli.options import Store
from benchbench.cli.ui import log


def train_spm(
    out: Annotated[Path, typer.Option(help="A new folder for spm.safetensors and record.json.")],
    pairs: Annotated[
        str, typer.Option(help="How many to draw and judge in the shapes world, or a set of pairs (docs/pairs.md).")
    ] = "8000",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 500,
    batch: Annotated[int, typer.Option(min=1, help="Pairs a step.")] = 24,
    lr: Annotated[float, typer.Option(min=0.0, help="AdamW learning rate at its highest.")] = 1e-3,
    held_out: Annotated[int, typer.Option(min=2, help="Pairs on which it is compared with shapes-pref.")] = 600,
    seed: int = 1_100_000,
    bad_rows: Annotated[
        Literal["refuse", "skip"], typer.Option(help="What becomes of a pair of a set that cannot be used.")
    ] = "refuse",
    store: Store = None,
) -> None:
    """Train the shapes world's step-aware preference model on preference pairs, and compare it on others."""
    import torch

    from benchbench.diffusion import backbones
    from benchbench.errors import UsageError
    from benchbench.evaluate.make_pairs import find_or_make
    from benchbench.pairs.open import open_pairs
    from benchbench.shapes import WEIGHTS
    from benchbench.shapes_build.spm import make
    from benchbench.store import root
    from benchbench.train.preference_model import SPMConfig

    if out.exists():
        raise UsageError(f"{out} is there already", "nothing is overwritten", "choose another --out")
    config = SPMConfig(steps=steps, batch=batch, lr=lr, weight_decay=0.01, warm_up=max(1, steps // 10), parts="added")
    count = int(pairs) if pairs.isdecimal() else 0
    if pairs.isdecimal() and count < 2:
        raise UsageError(f"--pairs {pairs} is too few", "two are the least to train on", "leave --pairs out for 8000")
    what = f"{count} pairs" if count else f"the pairs {pairs}"
    log(f"training shapes-spm on {what}, {steps} steps of {batch}, seed {seed}; into {out}")
    opened = None
    if not count:
        opened = open_pairs(find_or_make(pairs, root(store), log=log), ties=True, skip_bad=bad_rows == "skip")
    torch.manual_seed(seed)
    backbone = backbones.load("shapes", "cpu")
    facts = make(out, backbone, WEIGHTS / "pref", config, count, held_out, seed, False, log, opened)
    noisy = facts["at_t_of_500_and_more"]
    log(
        f"orders {noisy['step_aware']:.1%} of held-out pairs rightly at t >= 500, shapes-pref {noisy['plain']:.1%} "
        f"(difference {noisy['gain']:.1%}, standard error {noisy['standard_error']:.1%})"
    )
