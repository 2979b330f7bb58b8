"""Scores on disk: one parquet file per generation and reward, ``scores/<generation id>/<reward>-<version>.parquet``.

Where the reward reads metadata of the prompts, their hash is in the name, too: ``<reward>-<version>-<hash>.parquet``.
The file names the weights of the reward and the code of a plug-in: other weights or other code score again.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchbench.runtime.files import Log
from benchbench.runtime.names import safe_name
from benchbench.store.parts import ParquetParts
from benchbench.types import Reward

COLUMNS = {
    "prompt_index": "int64",
    "prompt": "str",
    "sample": "int64",
    "eval_seed": "int64",
    "reward": "str",
    "version": "str",
    "unit": "str",
    "score": "float64",
    "image_sha256": "str",
}


def score_frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Returns score rows as a frame with the types of ``COLUMNS``, even if there are no rows."""
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def made_by(reward: type[Reward]) -> str:
    """Returns what makes a reward's scores besides its version: its weights and the code of a plug-in, with hashes."""
    parts = reward.identity().items()
    return "; ".join(f"{part} {value[:12]}" for part, value in parts if not part.startswith("version"))


class ScoreStore:
    """The scores of one generation by one version of one reward, ``on`` metadata with this hash if it needs any."""

    def __init__(self, store: Path, generation_id: str, reward: type[Reward], on: str = "") -> None:
        self.parts = ParquetParts(store / "scores" / generation_id, COLUMNS, made_by(reward))
        self.name = safe_name(f"{reward.name}-{reward.version}{f'-{on[:12]}' if on else ''}")
        self.path = self.parts.path(self.name)
        self.lock = self.path.with_suffix(".lock")
        self.reward = reward

    def read(self, log: Log) -> pd.DataFrame:
        """Returns the stored scores, perhaps none. Rows of another reward or version are left out."""
        rows = self.parts.read(self.name, log)
        if rows is None:
            return score_frame([])
        valid = (rows.reward == self.reward.name) & (rows.version == self.reward.version) & rows.score.notna()
        return rows[valid]

    def write(self, scores: pd.DataFrame) -> None:
        """Replaces the file. Raises RunError if the disk is full."""
        self.parts.write(self.name, scores)
