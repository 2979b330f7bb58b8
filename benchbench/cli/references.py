"""Runs as a command's words name them. Imports the training's files, which load torch, only inside the function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchbench.cli.ui import log
from benchbench.store import root


def references(words: Sequence[str], store: Path | None) -> list[str]:
    """Returns the runs and checkpoints that words name; ``RUN@288`` and ``RUN@last`` become folders of weights."""
    if not any("@" in word for word in words):
        return list(words)
    from benchbench.train.at_checkpoint import weights_at

    return [weights_at(word, root(store), log) for word in words]
