"""Checks that a folder belongs to a run, computes the key of its checkpoints, and writes run.json and record.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchbench.config import RunConfig
from benchbench.errors import BenchError, CorruptError, MissingError, UsageError
from benchbench.runtime.files import Log
from benchbench.runtime.hashing import digest
from benchbench.runtime.json_files import find_list, write_json
from benchbench.runtime.provenance import record
from benchbench.runtime.sealed import write_sealed
from benchbench.store import runs
from benchbench.store.run_file import DONE, RUN, read_run_file
from benchbench.train import checkpoint
from benchbench.train.identity import differences, identify, recorded
from benchbench.train.inputs import look_up
from benchbench.train.resolved import Resolved

ELSEWHERE = "choose another --out"


def check_run_folder(
    config: RunConfig, out: Path, resume: bool, identity: Callable[[], Mapping[str, str]], log: Log
) -> bool:
    """Returns True where the run is to be trained or finished in the folder, and False where it is complete there.

    ``identity`` returns the parts of ``train.identity`` of this command. A complete run without sound weights is
    finished again from its last checkpoint; with ``resume`` so is a run without a sound run.json.

    Errors: UsageError for a folder with another run, a run of other inputs, other files, or this run unfinished and no
    ``resume``; CorruptError for a damaged run of which nothing is left to go on from.
    """
    if not out.exists() or not any(out.iterdir()):
        return True
    run = _read(out, resume, log)
    if run is None:
        return True
    _check_settings(config, run, out)
    _check_inputs(run, identity(), out, log)
    if not (out / DONE).is_file():
        if not resume:
            raise UsageError(
                f"{out} holds this run, unfinished",
                "it was interrupted",
                "continue it with the same command and --resume",
            )
        return True
    found = runs.read(out)
    if found.state == "complete":
        return False
    if not checkpoint.folders(out):
        raise CorruptError(f"the run in {out} is damaged", f"{found.note}, and no checkpoint is left", ELSEWHERE)
    log(f"warning: {found.note}; the run in {out} is finished again from its last checkpoint")
    return True


def is_complete(config: RunConfig, out: Path) -> bool:
    """Returns whether the folder holds this run, complete, with sound weights and made from the inputs of today.

    Where an input is not on this machine, it is not compared.
    """
    if not out.exists() or runs.read(out).state != "complete":
        return False
    try:
        run = read_run_file(out)
        if run.get("digest") != config.digest:
            return False
        identity = identify(look_up(config))
    except MissingError:
        return True
    except BenchError:
        return False
    return not differences(*_comparable(run, identity))


def check_content(out: Path, identity: Mapping[str, str], key: str) -> None:
    """Compares ``identity``, which now has the content of made pairs, with run.json, before that is written again.

    Where run.json was lost, the last checkpoint is compared, which must have the ``key``. Errors: UsageError,
    CorruptError.
    """
    if (out / RUN).is_file():
        _check_inputs(read_run_file(out), identity, out, _silent)
    else:
        checkpoint.find_latest(out, key, _silent, identity)


def _read(out: Path, resume: bool, log: Log) -> dict[str, Any] | None:
    """Returns run.json, or None where it can be written again, since a checkpoint says which run this is.

    A damaged run.json is removed then. Errors: UsageError, CorruptError.
    """
    file, checkpoints = out / RUN, checkpoint.folders(out)
    again = "the same command with --resume writes it again, if the last checkpoint is of this run"
    if not file.is_file():
        if not checkpoints:
            raise UsageError(
                f"{out} already holds other files", "it has no run.json, so it is not the folder of a run", ELSEWHERE
            )
        if not resume:
            raise CorruptError(f"{file} is missing", f"{out} holds checkpoints of a run", again)
        log(f"warning: {file} is missing; it is written again, if the last checkpoint is of this run")
        return None
    try:
        return read_run_file(out)
    except CorruptError as error:
        if not checkpoints:
            raise
        if not resume:
            raise CorruptError(error.problem, error.cause, again) from error
        log(f"warning: {error.problem} ({error.cause}); it is written again, if the last checkpoint is of this run")
        file.unlink()
        return None


def _check_settings(config: RunConfig, run: Mapping[str, Any], out: Path) -> None:
    """Raises UsageError where the run has other settings, or settings of an earlier version."""
    old = run.get("config")
    if not isinstance(old, dict):
        raise UsageError(f"{out} already holds other files", "its run.json is not one of ours: no settings", ELSEWHERE)
    if "schema" not in old:
        raise UsageError(
            f"{out} holds a run that was made by an earlier version of benchbench",
            "its run.json has no schema, so its settings cannot be compared",
            f"{ELSEWHERE}; bench eval and bench compare still read it, if it is complete",
        )
    if run.get("digest") != config.digest:
        raise UsageError(
            f"{out} already holds another run",
            f"it has other settings: {_difference(old, config.model_dump(mode='json'))}",
            ELSEWHERE,
        )


def _check_inputs(run: Mapping[str, Any], identity: Mapping[str, str], out: Path, log: Log) -> None:
    """Raises UsageError that names each input whose content differs; logs what an earlier version did not record."""
    changed = differences(*_comparable(run, identity))
    if changed:
        raise UsageError(
            f"{out} holds a run of other inputs",
            f"since it started, these have changed: {', '.join(changed)}",
            f"put them back as they were, or {ELSEWHERE}",
        )
    old, complete = recorded(run)
    unknown = [part for part in identity if part not in old]
    if unknown and not complete:
        log(f"{out} was made by an earlier version, which did not record and so cannot compare: {', '.join(unknown)}")


def _comparable(
    run: Mapping[str, Any], identity: Mapping[str, str]
) -> tuple[Mapping[str, str], Mapping[str, str], bool]:
    """Returns the arguments of ``differences``: the parts in run.json, those of today, and whether all were kept."""
    old, complete = recorded(run)
    return old, identity, complete


def _silent(line: str) -> None:
    """Logs nothing."""


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
    identity: Mapping[str, str],
    device: str,
    pairs_hash: str | None = None,
    processes: int = 1,
) -> None:
    """Writes run.json, which says what run the folder holds, and adds this start of the run to record.json.

    ``identity`` has the parts of ``train.identity``.
    """
    model_hash = identity["model"]
    start = record(config.model_dump(mode="json"), {config.model: model_hash}, device) | {"processes": processes}
    earlier = find_list(out / "record.json") or []  # a damaged file starts anew, since no number depends on it
    write_json(out / "record.json", [*earlier, start])
    run: dict[str, Any] = {
        "id": out.name,
        "digest": config.digest,
        "model_hash": model_hash,
        "inputs": dict(identity),
        "config": config.model_dump(mode="json"),
    }
    run["resolved"] = asdict(resolved)
    if pairs_hash is not None:
        run["pairs_hash"] = pairs_hash
    write_sealed(out / RUN, run)
