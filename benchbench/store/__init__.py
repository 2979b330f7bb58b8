"""The store of images, scores, measurements and runs. Content decides names, so nothing is made twice."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT = "bench-store"


def root(path: str | Path | None = None) -> Path:
    """Returns the store's folder: ``path`` if given, else $BENCH_HOME, else ./bench-store."""
    return Path(path or os.environ.get("BENCH_HOME") or DEFAULT).expanduser()
