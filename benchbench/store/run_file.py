"""run.json, which says what run a folder holds: its settings with their digest, its inputs and its precision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchbench.errors import CorruptError
from benchbench.runtime.hashing import digest
from benchbench.runtime.sealed import read_sealed

RUN = "run.json"
DONE = "done.json"
NOT_IDENTITY = {"micro_batch", "gradient_checkpointing", "save_every", "save_minutes"}
"""Settings of ``train`` that change memory or files, and at most the rounding of a result."""
REMEDY = "run the same bench train command with --resume, which writes it again, or choose another --out"


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Returns 16 hexadecimal digits of the hash of a run's settings, JSON-able, without ``NOT_IDENTITY``.

    Raises ValueError for a number that is not finite.
    """
    train = settings.get("train")
    if isinstance(train, Mapping):
        settings = {**settings, "train": {name: train[name] for name in train if name not in NOT_IDENTITY}}
    return digest(settings)


def read_run_file(folder: Path) -> dict[str, Any]:
    """Returns the run.json of a folder.

    Raises CorruptError where it cannot be read, or has other content than its checksum and its digest say.
    """
    file = folder / RUN
    run = read_sealed(file, REMEDY)
    settings: Any = run.get("config")
    known = "digest" in run and isinstance(settings, dict) and "schema" in settings  # not so in earlier versions
    if known and not _has_digest(settings, run["digest"]):
        raise CorruptError(f"{file} is damaged", "its settings are not those that its digest was made of", REMEDY)
    return run


def _has_digest(settings: Mapping[str, Any], expected: object) -> bool:
    try:
        return settings_digest(settings) == expected
    except ValueError:
        return False
