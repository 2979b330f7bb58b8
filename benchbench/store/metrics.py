"""Metrics of a run: one JSON line a row, and the same numbers for TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchbench.runtime.files import writing


class Metrics:
    """Appends rows to ``metrics.jsonl`` and ``tensorboard/``; a resumed run forgets the rows after its checkpoint."""

    def __init__(self, run: Path, keep_bytes: int, samples: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.path = run / "metrics.jsonl"
        with writing(self.path):
            self.path.touch()
            os.truncate(self.path, keep_bytes)
            self._board = SummaryWriter(run / "tensorboard", purge_step=samples if keep_bytes else None)

    def row(self, samples: int, values: Mapping[str, Any]) -> None:
        """One row at this number of samples; nested names such as ``eval.reward`` are TensorBoard's groups."""
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"samples": samples, **values}) + "\n")
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(name.replace(".", "/"), value, samples)

    @property
    def bytes(self) -> int:
        """How long the file is; a checkpoint remembers it."""
        return self.path.stat().st_size

    def close(self) -> None:
        """Writes what TensorBoard still holds."""
        self._board.close()


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The rows of a run; a last line cut short by a kill is left out."""
    path = run / "metrics.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
