"""The scores behind a report's tables, beside them: any statistic can be worked out again without a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from benchbench.errors import CorruptError, RunError
from benchbench.store.parts import ParquetParts

NAME = "scores"
Frames = Mapping[str, pd.DataFrame]  # by row label


def write_scores(folder: Path, tables: Mapping[str, Frames]) -> None:
    """Writes scores.parquet into a report's folder: the frames' rows with the columns ``table`` and ``row`` in front.

    ``tables`` has the frames by the name of their table. The hashes of the images are left out: they are most of the
    file, and the store has them. Raises RunError if the disk is full.
    """
    frames = [
        frame.drop(columns="image_sha256", errors="ignore").assign(table=table, row=row)
        for table, by_row in tables.items()
        for row, frame in by_row.items()
    ]
    if not frames:
        return
    scores = pd.concat(frames, ignore_index=True)
    first, parts = ["table", "row"], ParquetParts(folder)
    try:
        parts.write(NAME, scores[[*first, *(column for column in scores.columns if column not in first)]])
    except RunError:
        if not parts.path(NAME).is_file():  # else the folder is that of the same report, in a store that is only read
            raise


def read_scores(folder: Path) -> pd.DataFrame | None:
    """Returns the rows of scores.parquet in a report's folder, or None where a report has no scores.

    Raises CorruptError where the file cannot be read, or has other content than was written.
    """
    parts, reasons = ParquetParts(folder), list[str]()
    scores = parts.read(NAME, reasons.append)
    if scores is None and reasons:
        raise CorruptError(f"{parts.path(NAME)} is damaged", "; ".join(reasons), "delete it, and make the report again")
    return scores
