"""Training runs on disk: looks runs up by id or path, and tells what state each is in.

A run folder holds run.json from its start and done.json once it is complete. The adapter lies at its root, or the
folder ``unet`` if every weight was trained. With ``train.keep_every`` it also keeps weights of earlier points of the
training in ``kept/NNNNNNNN``, named by the samples seen: RUN/kept/00000096 refers to such weights.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchbench.errors import BenchError, CorruptError, MissingError, RunError
from benchbench.hub import weights as layouts
from benchbench.hub.weights import ADAPTER, Weights
from benchbench.runtime.files import Log
from benchbench.runtime.hashing import digest
from benchbench.runtime.locks import locked
from benchbench.runtime.names import safe_name
from benchbench.runtime.sealed import read_sealed
from benchbench.store.run_file import DONE, REMEDY, RUN, read_run_file

KEPT_FOLDER = "kept"
KEPT_FILE = "weights.json"
"""The file that holds the sha256 of the kept weights beside it."""
REBUILD = "run the same bench train command again: it makes them again from the last checkpoint"
State = Literal["complete", "resumable", "damaged"]


@dataclass(frozen=True)
class Run:
    """The content of a run folder. ``config`` is run.json, empty if that is damaged; ``note`` says what is damaged."""

    id: str
    path: Path
    state: State
    config: dict[str, Any]
    done: dict[str, Any]
    note: str = ""


def run_id(method: str, model: str, reward: str, seed: int, config: Any) -> str:
    """Returns a run's name, which its settings decide: ``tailorpo-shapes-shapes-colour-s0-1f2e3d4c``."""
    words = "-".join(Path(part).name for part in (method, model, reward))
    return f"{safe_name(words)}-s{seed}-{digest(config)[:8]}"


def read(folder: Path) -> Run:
    """Returns the run in a folder that has a run.json. A damaged run is returned, too, in the state ``damaged``.

    A run is complete with a done.json and the weights whose sha256 that file records.
    """
    try:
        config = read_run_file(folder)
    except CorruptError as error:
        return Run(folder.name, folder, "damaged", {}, {}, f"{RUN}: {error.cause}")
    if not isinstance(config.get("config", {}), dict):
        return Run(folder.name, folder, "damaged", {}, {}, f"{RUN}: its settings are not a JSON object")
    name = str(config.get("id", folder.name))
    if not (folder / DONE).exists():
        return Run(name, folder, "resumable", config, {})
    try:
        done = read_sealed(folder / DONE, REBUILD)
    except CorruptError as error:
        return Run(name, folder, "damaged", config, {}, f"{DONE}: {error.cause}")
    note = _fault_of_weights(folder, done)
    return Run(name, folder, "damaged" if note else "complete", config, done, note)


def _fault_of_weights(folder: Path, done: dict[str, Any]) -> str:
    """Returns what is wrong with the weights of a finished run, or an empty text."""
    try:
        weights = layouts.find(folder)
        if weights is None:
            return f"{ADAPTER} or unet is missing"
        content_hash = weights.hash
    except (BenchError, OSError) as error:
        return str(error.problem if isinstance(error, BenchError) else error)
    if done.get("adapter_sha256", content_hash) != content_hash:
        return f"{weights.path} does not have the sha256 that {DONE} records"
    return ""


def folders(store: Path) -> list[Path]:
    """Returns the folders of a store's runs, sorted by name."""
    return sorted(path.parent for path in (store / "runs").glob(f"*/{RUN}"))


def find(store: Path, reference: str | Path) -> Run:
    """Returns the run in this folder, or with this id in the store. Raises MissingError."""
    for folder in (Path(reference).expanduser(), store / "runs" / str(reference)):
        if (folder / RUN).is_file():
            return read(folder)
    names = [folder.name for folder in folders(store)]
    near = difflib.get_close_matches(str(reference), names, n=1, cutoff=0.4)
    raise MissingError(
        f"no run {str(reference)!r}",
        f"{store / 'runs'} holds {len(names)} runs, and no folder of that name has a run.json",
        f"did you mean {near[0]}?" if near else "see `bench list runs` and `bench list checkpoints`",
    )


def lock_of(folder: Path) -> Path:
    """Returns the lock file of a run's folder."""
    return folder.with_name(f"{folder.name}.lock")


@contextmanager
def hold_run_folder(folder: Path, log: Log) -> Iterator[None]:
    """Locks a run's folder, so that a second command that wants the same run waits for it and does not train it again.

    In a multi-process training only rank 0 takes the lock.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    with locked(lock_of(folder), log):
        yield


@dataclass(frozen=True)
class Adapter:
    """Fine-tuned weights to evaluate: a LoRA, a UNet or a pipeline.

    ``run`` and ``model_hash``, the hash of the base model, are None if no run of ours trained the weights. ``base`` is
    then the name of the model that they are known to be made from, or empty.
    """

    label: str
    weights: Weights
    hash: str
    model_hash: str | None
    run: Run | None
    base: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the training; empty if no run of ours trained the weights."""
        return self.run.config.get("config", {}) if self.run else {}


AdapterReference = str | Path | Adapter
"""An adapter by its run id, run folder, weights folder or released name, or an Adapter that was looked up already."""


def kept_weights(run: Run) -> dict[int, Path]:
    """Returns the folders of the weights that a run kept during its training, by the samples it had seen."""
    folders = [folder for folder in sorted((run.path / KEPT_FOLDER).glob("[0-9]*")) if layouts.find(folder)]
    return {int(folder.name): folder for folder in folders}


def find_adapter(store: Path, reference: AdapterReference) -> Adapter:
    """Returns the weights of a finished run, or weights from elsewhere, with the hash of their content.

    Weights from elsewhere are what ``hub.weights.resolve`` knows: a folder, a file, a released checkpoint's name or a
    hub id. Raises MissingError (nothing has this name), RunError (unfinished run), CorruptError (damaged).
    """
    if isinstance(reference, Adapter):
        return reference
    folders = [Path(reference).expanduser(), store / "runs" / str(reference)]
    for folder in folders:
        kept = folder.parent.name == KEPT_FOLDER and folder.name.isdecimal()
        if kept and folder.is_dir() and (folder.parent.parent / RUN).is_file():
            return _kept_adapter(folder)
    if not any((folder / RUN).is_file() for folder in folders):
        resolved = layouts.resolve(reference)
        if resolved:
            weights, label, base = resolved
            return Adapter(label, weights, weights.hash, None, None, base)
    return _finished_adapter(find(store, reference))


def _kept_adapter(folder: Path) -> Adapter:
    run, weights = read(folder.parent.parent), layouts.find(folder)
    if weights is None:
        raise CorruptError(f"{folder} holds no weights", "its run was interrupted there", "resume the run")
    if not run.config:
        raise CorruptError(f"the run {run.id} is damaged", run.note, REMEDY)
    content_hash = weights.hash
    recorded, again = folder / KEPT_FILE, "train the run again into another folder"
    if recorded.is_file() and read_sealed(recorded, again).get("sha256") != content_hash:
        raise CorruptError(
            f"the weights in {folder} are damaged",
            f"they do not have the sha256 that {KEPT_FILE} records",
            again,
        )
    label = f"{run.id}, {int(folder.name)} samples"
    return Adapter(label, weights, content_hash, run.config.get("model_hash"), run)


def _finished_adapter(run: Run) -> Adapter:
    if run.state == "resumable":
        raise RunError(
            f"the run {run.id} is not finished",
            f"{run.path} has no done.json",
            f"finish it: the same command, --resume; or take its last checkpoint: {run.id}@last",
        )
    weights = None if run.state == "damaged" else layouts.find(run.path)
    if weights is None:
        raise CorruptError(f"the run {run.id} is damaged", run.note, REBUILD if run.config else REMEDY)
    return Adapter(run.id, weights, weights.hash, run.config.get("model_hash"), run)
