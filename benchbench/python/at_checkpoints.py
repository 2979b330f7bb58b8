"""Runs as a caller names them. Imports the training's files, which load torch, only inside the function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchbench.runtime.files import Log


def at_checkpoints(references: Sequence[str | Path], store: Path, log: Log) -> list[str | Path]:
    """Returns references to trainings; ``RUN@288`` and ``RUN@last`` become folders of weights.

    Errors: those of ``train.at_checkpoint.weights_at``.
    """
    if not any("@" in str(reference) for reference in references):
        return list(references)
    from benchbench.train.at_checkpoint import weights_at

    return [weights_at(str(reference), store, log) for reference in references]
