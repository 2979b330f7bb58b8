"""Scores on disk: one parquet a generation and reward, written whole. An unreadable one is named and made again."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd

from benchbench.runtime.files import Say, write_atomic
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


def frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Score rows with the columns' types, also where there is no row."""
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


class Scores:
    """The scores of one generation by one version of one reward."""

    def __init__(self, store: Path, generation_id: str, reward: type[Reward]) -> None:
        name = re.sub(r"[^\w.-]+", "_", f"{reward.name}-{reward.version}", flags=re.ASCII)
        self.path = store / "scores" / generation_id / f"{name}.parquet"
        self.lock = self.path.with_suffix(".lock")
        self.reward = reward

    def read(self, say: Say) -> pd.DataFrame:
        """What was scored, perhaps nothing; rows of another version are left out."""
        import pyarrow as pa

        try:
            found = pd.read_parquet(self.path)[list(COLUMNS)].astype(COLUMNS)
        except FileNotFoundError:
            return frame([])
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            say(f"warning: the scores {self.path} cannot be read ({why}); they are made again")
            return frame([])
        ours = (found.reward == self.reward.name) & (found.version == self.reward.version) & found.score.notna()
        return found[ours]

    def write(self, scores: pd.DataFrame) -> None:
        """Replaces the file. Errors: RunError for a disk that is full."""
        data = io.BytesIO()
        scores.to_parquet(data, index=False)
        write_atomic(self.path, data.getvalue())
