"""Training runs on disk: a run by id or path, and what state each is in.

A run folder holds run.json from its first second and done.json once it is complete; at its root lies the adapter, or
the folder ``unet`` where every weight was trained. With ``train.keep_every`` it holds weights of earlier samples too,
in ``kept/NNNNNNNN``: RUN/kept/00000096 names one.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchbench.errors import CorruptError, MissingError, RunError
from benchbench.hub import weights as layouts
from benchbench.hub.weights import ADAPTER, Weights
from benchbench.runtime.files import Log
from benchbench.runtime.hashing import digest
from benchbench.runtime.json_files import read_object
from benchbench.runtime.locks import locked
from benchbench.runtime.names import safe_name

KEPT = "kept"
State = Literal["complete", "resumable", "damaged"]


@dataclass(frozen=True)
class Run:
    """A run folder as found. ``config`` is run.json's content, empty where that is damaged; ``note`` says why."""

    id: str
    path: Path
    state: State
    config: dict[str, Any]
    done: dict[str, Any]
    note: str = ""


def run_id(method: str, model: str, reward: str, seed: int, config: Any) -> str:
    """A run's name, the same for the same settings: ``tailorpo-shapes-shapes-colour-s0-1f2e3d4c``."""
    words = "-".join(Path(part).name for part in (method, model, reward))
    return f"{safe_name(words)}-s{seed}-{digest(config)[:8]}"


def read(folder: Path) -> Run:
    """What a run folder holds."""
    try:
        config = read_object(folder / "run.json", "train it again into another folder")
    except CorruptError as error:
        return Run(folder.name, folder, "damaged", {}, {}, f"run.json: {error.cause}")
    if not isinstance(config.get("config", {}), dict):
        return Run(folder.name, folder, "damaged", {}, {}, "run.json: its settings are not a JSON object")
    name = str(config.get("id", folder.name))
    if not (folder / "done.json").exists():
        return Run(name, folder, "resumable", config, {})
    try:
        done = read_object(folder / "done.json", "train it again into another folder")
    except CorruptError as error:
        return Run(name, folder, "damaged", config, {}, f"done.json: {error.cause}")
    if layouts.find(folder) is None:
        return Run(name, folder, "damaged", config, done, f"{ADAPTER} or unet is missing")
    return Run(name, folder, "complete", config, done)


def all_runs(store: Path) -> list[Run]:
    """Every run of a store, by name."""
    folders = sorted(path.parent for path in (store / "runs").glob("*/run.json"))
    return [read(folder) for folder in folders]


def find(store: Path, reference: str | Path) -> Run:
    """The run with this id in the store, or in this folder. Errors: MissingError."""
    for folder in (Path(reference).expanduser(), store / "runs" / str(reference)):
        if (folder / "run.json").is_file():
            return read(folder)
    names = [run.id for run in all_runs(store)]
    near = difflib.get_close_matches(str(reference), names, n=1, cutoff=0.4)
    raise MissingError(
        f"no run {str(reference)!r}",
        f"{store / 'runs'} holds {len(names)} runs, and no folder of that name has a run.json",
        f"did you mean {near[0]}?" if near else "see `bench list runs` and `bench list checkpoints`",
    )


@contextmanager
def alone(folder: Path, log: Log) -> Iterator[None]:
    """Holds a run's folder: two commands that want the same run train it once, since the second waits and finds it.

    Of several processes of one training only the first holds it.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    with locked(folder.with_name(f"{folder.name}.lock"), log):
        yield


@dataclass(frozen=True)
class Adapter:
    """Fine-tuned weights to evaluate: LoRA, a UNet or a pipeline.

    ``model_hash`` is None where no run of ours wrote them; ``base`` then is the model that they are known to be made
    from, if any.
    """

    label: str
    weights: Weights
    hash: str
    model_hash: str | None
    run: Run | None
    base: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that it was trained with, empty where no run of ours wrote it."""
        return self.run.config.get("config", {}) if self.run else {}


def kept(run: Run) -> dict[int, Path]:
    """The weights that a run kept on its way, by the samples it had seen."""
    folders = [folder for folder in sorted((run.path / KEPT).glob("[0-9]*")) if layouts.find(folder)]
    return {int(folder.name): folder for folder in folders}


def adapter(store: Path, reference: str | Path | Adapter) -> Adapter:
    """The weights of a finished run, or of what ``layouts.resolve`` knows: a folder, a file, a released checkpoint's
    name, a hub id. The hash is of the content. An Adapter that was looked up already is returned as it is.

    Errors: MissingError (no such thing), RunError (not finished), CorruptError (damaged).
    """
    if isinstance(reference, Adapter):
        return reference
    own = [Path(reference).expanduser(), store / "runs" / str(reference)]
    for folder in own:
        run_folder = folder.parent.parent
        if folder.parent.name == KEPT and folder.is_dir() and (run_folder / "run.json").is_file():
            run, weights = read(run_folder), layouts.find(folder)
            if weights is None:
                raise CorruptError(f"{folder} holds no weights", "its run was interrupted there", "resume the run")
            label = f"{run.id}, {int(folder.name)} samples"
            return Adapter(label, weights, weights.hash, run.config.get("model_hash"), run)
    if not any((folder / "run.json").is_file() for folder in own):
        known = layouts.resolve(reference)
        if known:
            weights, label, base = known
            return Adapter(label, weights, weights.hash, None, None, base)
    run = find(store, reference)
    if run.state == "resumable":
        raise RunError(
            f"the run {run.id} is not finished", f"{run.path} has no done.json", "finish it: the same command, --resume"
        )
    found = layouts.find(run.path)
    if run.state == "damaged" or found is None:
        raise CorruptError(f"the run {run.id} is damaged", run.note, "train it again into another folder")
    content = found.hash
    if run.done.get("adapter_sha256", content) != content:
        raise CorruptError(
            f"the adapter of {run.id} is damaged",
            f"{found.path} does not have the sha256 that done.json records",
            "train it again into another folder",
        )
    return Adapter(run.id, found, content, run.config.get("model_hash"), run)
