"""A run's folder: whether it is this run's, the key of its checkpoints, and run.json with record.json."""

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
    """Makes sure that the folder is this run's; returns False where the run is complete already.

    Errors: UsageError for a folder that holds another run, an unfinished one without ``resume``, or other files.
    """
    if not out.exists() or not any(out.iterdir()):
        return True
    file = out / "run.json"
    if not file.is_file():
        raise UsageError(
            f"{out} already holds other files", "it is not a run of ours: it has no run.json", "choose another --out"
        )
    there = read_object(file, "choose another --out")
    old = there.get("config")
    if not isinstance(old, dict):
        raise UsageError(
            f"{out} already holds other files", "its run.json is not one of ours: no settings", "choose another --out"
        )
    if "schema" not in old:
        raise UsageError(
            f"{out} holds a run that was made by an earlier version of benchbench",
            "its run.json names no schema, so that nobody can tell whether its settings are the same",
            "choose another --out; bench eval and bench compare still read it, if it is complete",
        )
    if there.get("digest") != config.digest:
        raise UsageError(
            f"{out} already holds another run",
            f"it was made with other settings: {_difference(old, config.model_dump(mode='json'))}",
            "choose another --out",
        )
    if (out / "done.json").is_file():
        return False
    if not resume:
        raise UsageError(
            f"{out} holds this run, unfinished", "it was interrupted", "go on with it: the same command with --resume"
        )
    return True


def _difference(old: dict[str, object], new: dict[str, object]) -> str:
    keys = [key for key in new if old.get(key) != new[key]]
    return ", ".join(keys) or "an older format"


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
    """run.json: what this folder holds, from its first second; record.json: what ran, an entry for each start."""
    ran = record(config.model_dump(mode="json"), {config.model: model_hash}, device) | {"processes": processes}
    earlier = find_list(out / "record.json") or []  # a damaged one begins anew: no number depends on it
    write_json(out / "record.json", [*earlier, ran])
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
