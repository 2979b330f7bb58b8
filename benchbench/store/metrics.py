"""The metrics of a run: one JSON line per row with its checksum, and the same numbers for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchbench.runtime.file_errors import writing
from benchbench.runtime.files import Log, write_atomic
from benchbench.runtime.json_files import last_line, read_lines
from benchbench.runtime.sealed import parse_sealed, seal

FILE = "metrics.jsonl"


class MetricsWriter:
    """Appends rows to ``metrics.jsonl`` and ``tensorboard/``.

    ``keep_bytes`` and ``samples`` are those of the checkpoint that a run resumes from: later rows are dropped. Rows
    that are missing or damaged are named in ``log``, and the damaged ones are dropped.
    """

    def __init__(self, run: Path, keep_bytes: int, samples: int, log: Log = print) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.path = run / FILE
        with writing(self.path):
            self.path.touch()
            _keep(self.path, keep_bytes, log)
            self._board = SummaryWriter(run / "tensorboard", purge_step=samples + 1 if keep_bytes else None)

    def row(self, samples: int, values: Mapping[str, Any]) -> None:
        """Writes one row at this number of samples; names such as ``eval.reward`` become TensorBoard groups."""
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(seal({"samples": samples, **values})) + "\n")
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


def _keep(path: Path, count: int, log: Log) -> None:
    """Cuts the file to its sound lines among the first ``count`` bytes; logs what is missing or damaged there."""
    content = path.read_bytes()
    kept = content[:count]
    if len(content) < count:
        log(f"warning: {path} has lost rows: it has {len(content)} of the {count} bytes that the checkpoint recorded")
    lines = kept.split(b"\n")
    sound = [line for line in lines[:-1] if _is_sound(line)]  # the last item has no newline after it: it is cut short
    if len(sound) < len(lines) - 1 or lines[-1]:
        log(f"warning: {path} is damaged: {len(lines) - 1 - len(sound) + bool(lines[-1])} of its rows are left out")
    text = b"".join(line + b"\n" for line in sound)
    if text != content:
        write_atomic(path, text)


def _is_sound(line: bytes) -> bool:
    try:
        parse_sealed(line)
    except ValueError:
        return False
    return True


def read_metrics(run: Path, log: Log = print) -> list[dict[str, Any]]:
    """Returns the rows of a run without damaged lines.

    Damaged lines are logged, except for a last line that a kill cut short.
    """
    return read_lines(run / FILE, log, parse_sealed)


def last_metrics(run: Path) -> dict[str, Any]:
    """Returns the last sound row of a run, or an empty dict if there is none."""
    return last_line(run / FILE, parse_sealed) or {}
