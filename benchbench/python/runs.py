"""``runs`` and ``load_run``."""

from __future__ import annotations

from pathlib import Path

from benchbench.python.calls import store_folder
from benchbench.python.run import Run
from benchbench.store import runs as stored


def runs(store: str | Path | None = None) -> list[Run]:
    """Returns every run of a store, sorted by its id, as ``bench list runs`` does.

    Args:
        store: The folder of images, scores and runs. Default: ``$BENCH_HOME``, else ``./bench-store``.

    Returns:
        The Runs: complete, unfinished and damaged ones.

    Example:
        >>> [run.id for run in bb.runs() if run.state == "complete" and run.method == "tailorpo"]
    """
    return [Run(folder) for folder in stored.folders(store_folder(store))]


def load_run(run: str | Path, store: str | Path | None = None) -> Run:
    """Returns the run with an id, or in a folder.

    Args:
        run: The run's id or folder.
        store: The folder of images, scores and runs. Default: ``$BENCH_HOME``, else ``./bench-store``.

    Raises:
        MissingError: There is no such run.

    Example:
        >>> bb.load_run("tailorpo-shapes-shapes-colour-s0-1f2e3d4c").metrics
    """
    return Run(stored.find(store_folder(store), run).path)
