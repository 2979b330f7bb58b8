"""The metrics of a run: one JSON line per row, and the same numbers for TensorBoard."""

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


class MetricsWriter:
    """Appends rows to ``metrics.jsonl`` and ``tensorboard/``.

    ``keep_bytes`` and ``samples`` are those of the checkpoint that a run resumes from: later rows are dropped.
    """

    def __init__(self, run: Path, keep_bytes: int, samples: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.path = run / FILE
        with writing(self.path):
            self.path.touch()
            os.truncate(self.path, keep_bytes)
            self._board = SummaryWriter(run / "tensorboard", purge_step=samples if keep_bytes else None)

    def row(self, samples: int, values: Mapping[str, Any]) -> None:
        """Writes one row at this number of samples; names such as ``eval.reward`` become TensorBoard groups."""
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"samples": samples, **values}) + "\n")
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(name.replace(".", "/"), value, samples)

    @property
    def bytes(self) -> int:
        """The length of the file, which a checkpoint remembers."""
        return self.path.stat().st_size

    def close(self) -> None:
        """Flushes and closes TensorBoard's file."""
        self._board.close()


def read_metrics(run: Path, log: Log = print) -> list[dict[str, Any]]:
    """Returns the rows of a run without damaged lines.

    Damaged lines are logged, except for a last line that a kill cut short.
    """
    return list(read_lines(run / FILE, log))


def last_metrics(run: Path) -> dict[str, Any]:
    """Returns the last sound row of a run, or an empty dict if there is none."""
    return last_line(run / FILE) or {}
