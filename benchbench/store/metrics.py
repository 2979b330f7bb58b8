"""Metrics of a run: one JSON line a row, and the same numbers for TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchbench.runtime.file_errors import writing
from benchbench.runtime.files import Log
from benchbench.runtime.json_files import last_line, read_lines

FILE = "metrics.jsonl"


class Metrics:
    """Appends rows to ``metrics.jsonl`` and ``tensorboard/``; a resumed run forgets the rows after its checkpoint."""

    def __init__(self, run: Path, keep_bytes: int, samples: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.path = run / FILE
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


def read_metrics(run: Path, log: Log = print) -> list[dict[str, Any]]:
    """Returns the rows of a run; a damaged line is left out and said, a last one cut short by a kill is left out."""
    return list(read_lines(run / FILE, log))


def last_metrics(run: Path) -> dict[str, Any]:
    """Returns the last sound row of a run, empty where there is none."""
    return last_line(run / FILE) or {}
