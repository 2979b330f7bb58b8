"""Checks that a folder belongs to a run, computes the key of its checkpoints, and writes run.json and record.json."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchbench.config import RunConfig
from benchbench.errors import UsageError
from benchbench.runtime.hashing import digest
from benchbench.runtime.json_files import find_list, read_object, write_json
from benchbench.runtime.provenance import record
from benchbench.train.resolved import Resolved


def check_run_folder(config: RunConfig, out: Path, resume: bool) -> bool:
    """Returns True where the folder is this run's or empty, and False where it holds the complete run already.

    Errors: UsageError for a folder with another run, with other files, or with this run unfinished and no ``resume``.
    """
    if not out.exists() or not any(out.iterdir()):
        return True
    file = out / "run.json"
    if not file.is_file():
        raise UsageError(
            f"{out} already holds other files",
            "it has no run.json, so it is not the folder of a run",
            "choose another --out",
        )
    run = read_object(file, "choose another --out")
    old = run.get("config")
    if not isinstance(old, dict):
        raise UsageError(
            f"{out} already holds other files", "its run.json is not one of ours: no settings", "choose another --out"
        )
    if "schema" not in old:
        raise UsageError(
            f"{out} holds a run that was made by an earlier version of benchbench",
            "its run.json has no schema, so its settings cannot be compared",
            "choose another --out; bench eval and bench compare still read it, if it is complete",
        )
    if run.get("digest") != config.digest:
        raise UsageError(
            f"{out} already holds another run",
            f"it has other settings: {_difference(old, config.model_dump(mode='json'))}",
            "choose another --out",
        )
    if (out / "done.json").is_file():
        return False
    if not resume:
        raise UsageError(
            f"{out} holds this run, unfinished", "it was interrupted", "continue it with the same command and --resume"
        )
    return True


def _difference(old: dict[str, object], new: dict[str, object]) -> str:
    changed = [key for key in new if old.get(key) != new[key]]
    return ", ".join(changed) or "an older format"


def run_key(config: RunConfig, resolved: Resolved, model_hash: str, pairs_hash: str | None = None) -> str:
    """Returns the key that a checkpoint must carry to be resumed: a hash of settings, precisions, weights and pairs."""
    return digest([config.digest, *resolved.identity, model_hash, *([pairs_hash] if pairs_hash else [])])


def write_run(
    config: RunConfig,
    resolved: Resolved,
    out: Path,
    model_hash: str,
    device: str,
    pairs_hash: str | None = None,
    processes: int = 1,
) -> None:
    """Writes run.json, which says what run the folder holds, and adds this start of the run to record.json."""
    start = record(config.model_dump(mode="json"), {config.model: model_hash}, device) | {"processes": processes}
    earlier = find_list(out / "record.json") or []  # a damaged file starts anew, since no number depends on it
    write_json(out / "record.json", [*earlier, start])
    run: dict[str, Any] = {
        "id": out.name,
        "digest": config.digest,
        "model_hash": model_hash,
        "config": config.model_dump(mode="json"),
    }
    run["resolved"] = asdict(resolved)
    if pairs_hash is not None:
        run["pairs_hash"] = pairs_hash
    write_json(out / "run.json", run)
