"""``bench status``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchbench.cli.options import Store
from benchbench.cli.ui import say, table


def status(store: Store = None) -> None:
    """What a store holds: runs with how far they are, images, scores and reports."""
    from benchbench.store import root, runs

    folder = root(store)
    say(f"the store {folder}")
    rows = [[run.id, run.state, _progress(run.path, run.config)] for run in runs.all_runs(folder)]
    if rows:
        table(["run", "state", "samples"], rows)
    images = sum(1 for _ in folder.glob("images/*/*.webp"))
    generations = sum(1 for _ in folder.glob("images/*/record.json"))
    scores = sum(1 for _ in folder.glob("scores/**/*.parquet"))
    say(f"{len(rows)} runs; {images} images of {generations} generations; {scores} score files")
    for page in sorted(folder.glob("reports/**/*.html")):
        say(f"report {page}")


def _progress(path: Path, config: dict[str, Any]) -> str:
    """``96 of 384``, by the last row of metrics that was written whole."""
    done = 0
    metrics = path / "metrics.jsonl"
    if metrics.is_file():
        for line in reversed(metrics.read_text(encoding="utf-8").splitlines()):
            try:
                done = json.loads(line)["samples"]
                break
            except (ValueError, KeyError):
                continue
    return f"{done} of {config.get('config', {}).get('samples', '?')}"
