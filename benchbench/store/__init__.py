"""Content-addressed storage of images, scores and runs: what exists is never made again."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT = "bench-store"


def root(path: str | Path | None = None) -> Path:
    """The store's folder: the one named, else $BENCH_HOME, else ./bench-store."""
    return Path(path or os.environ.get("BENCH_HOME") or DEFAULT).expanduser()
