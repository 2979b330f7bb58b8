"""The command line of a training, which a job runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchbench.config import RunConfig


def train_command(config: RunConfig, overrides: Sequence[str], out: Path, store: Path) -> tuple[str, ...]:
    """Returns the words after ``python -m`` that train or resume a run; ``overrides`` are the words of ``--set``."""
    words = ["benchbench", "train", "--method", config.method, "--model", config.model, "--reward", config.reward]
    words += ["--prompts", config.prompts, "--samples", str(config.samples), "--seed", str(config.seed)]
    words += ["--store", str(store), "--preset", config.preset, *(["--pairs", config.pairs] if config.pairs else [])]
    for override in overrides:
        words += ["--set", override]
    return (*words, "--out", str(out), "--resume")


def training_log(out: Path, store: Path) -> Path:
    """Returns the path of the log of the training whose folder is ``out``."""
    return store / "logs" / f"{out.name}.log"
