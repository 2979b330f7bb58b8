"""A training as a command that a job runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchbench.config import RunConfig


def train_command(config: RunConfig, overrides: Sequence[str], out: Path, store: Path) -> tuple[str, ...]:
    """Returns the words of ``bench train --resume`` after ``python -m``; ``overrides`` are those of ``--set``."""
    words = ["benchbench", "train", "--method", config.method, "--model", config.model, "--reward", config.reward]
    words += ["--prompts", config.prompts, "--samples", str(config.samples), "--seed", str(config.seed)]
    words += ["--store", str(store), "--preset", config.preset, *(["--pairs", config.pairs] if config.pairs else [])]
    for override in overrides:
        words += ["--set", override]
    return (*words, "--out", str(out), "--resume")


def training_log(out: Path, store: Path) -> Path:
    """Returns the log of the training into the folder ``out``."""
    return store / "logs" / f"{out.name}.log"
