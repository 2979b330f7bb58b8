"""``bench train-spm``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchbench.cli.ui import say


def train_spm(
    out: Annotated[Path, typer.Option(help="A new folder for spm.safetensors and record.json.")],
    pairs: Annotated[int, typer.Option(min=2, help="Preference pairs, drawn and judged in the shapes world.")] = 8000,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 500,
    batch: Annotated[int, typer.Option(min=1, help="Pairs a step.")] = 24,
    lr: Annotated[float, typer.Option(min=0.0, help="AdamW learning rate at its highest.")] = 1e-3,
    held_out: Annotated[int, typer.Option(min=2, help="Pairs on which it is compared with shapes-pref.")] = 600,
    seed: int = 1_100_000,
) -> None:
    """Train the shapes world's step-aware preference model on preference pairs, and compare it on others."""
    import torch

    from benchbench.diffusion import backbones
    from benchbench.errors import UsageError
    from benchbench.shapes import WEIGHTS
    from benchbench.shapes.recipe.spm import make
    from benchbench.train.spm import SPMConfig

    if out.exists():
        raise UsageError(f"{out} is there already", "nothing is overwritten", "choose another --out")
    config = SPMConfig(steps=steps, batch=batch, lr=lr, weight_decay=0.01, warm_up=max(1, steps // 10), parts="added")
    say(f"training shapes-spm on {pairs} pairs, {steps} steps of {batch}, seed {seed}; into {out}")
    torch.manual_seed(seed)
    facts = make(out, backbones.load("shapes", "cpu"), WEIGHTS / "pref", config, pairs, held_out, seed, False, say)
    noisy = facts["at_t_of_500_and_more"]
    say(
        f"orders {noisy['step_aware']:.1%} of held-out pairs rightly at t >= 500, shapes-pref {noisy['plain']:.1%} "
        f"(difference {noisy['gain']:.1%}, standard error {noisy['standard_error']:.1%})"
    )
