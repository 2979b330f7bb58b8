"""Training runs on disk: a run by id or path, and what state each is in.

A run folder holds run.json from its first second and done.json once it is complete; the adapter lies at its root. With
``train.keep_every`` it holds adapters of earlier samples too, in ``kept/NNNNNNNN``: RUN/kept/00000096 names one.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchbench.errors import CorruptError, MissingError, RunError
from benchbench.store.keys import digest, file_sha256

ADAPTER = "pytorch_lora_weights.safetensors"
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
    words = re.sub(r"[^\w.-]+", "_", words)  # an ensemble's name has signs that shells read
    return f"{words}-s{seed}-{digest(config)[:8]}"


def read(folder: Path) -> Run:
    """What a run folder holds."""
    try:
        config = _json(folder / "run.json")
    except (OSError, ValueError) as error:
        return Run(folder.name, folder, "damaged", {}, {}, f"run.json: {error}")
    name = str(config.get("id", folder.name))
    try:
        done = _json(folder / "done.json")
    except FileNotFoundError:
        return Run(name, folder, "resumable", config, {})
    except (OSError, ValueError) as error:
        return Run(name, folder, "damaged", config, {}, f"done.json: {error}")
    if not (folder / ADAPTER).is_file():
        return Run(name, folder, "damaged", config, done, f"{ADAPTER} is missing")
    return Run(name, folder, "complete", config, done)


def _json(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


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
        f"did you mean {near[0]}?" if near else "see `bench list runs`",
    )


@dataclass(frozen=True)
class Adapter:
    """LoRA weights to evaluate. ``model_hash`` is None for weights that no run of ours wrote."""

    label: str
    folder: Path
    hash: str
    model_hash: str | None
    run: Run | None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that it was trained with, empty where no run of ours wrote it."""
        return self.run.config.get("config", {}) if self.run else {}


def kept(run: Run) -> dict[int, Path]:
    """The adapters that a run kept on its way, by the samples it had seen."""
    folders = sorted(path.parent for path in (run.path / KEPT).glob(f"[0-9]*/{ADAPTER}"))
    return {int(folder.name): folder for folder in folders}


def adapter(store: Path, reference: str | Path) -> Adapter:
    """The adapter of a finished run, or of any folder that holds one; its hash is of the file's bytes.

    Errors: MissingError (no such run or folder), RunError (not finished), CorruptError (damaged).
    """
    for folder in (Path(reference).expanduser(), store / "runs" / str(reference)):
        run_folder = folder.parent.parent
        if folder.parent.name == KEPT and (folder / ADAPTER).is_file() and (run_folder / "run.json").is_file():
            run = read(run_folder)
            label = f"{run.id}, {int(folder.name)} samples"
            return Adapter(label, folder, file_sha256(folder / ADAPTER), run.config.get("model_hash"), run)
    folder = Path(reference).expanduser()
    if (folder / ADAPTER).is_file() and not (folder / "run.json").is_file():
        return Adapter(folder.resolve().name, folder, file_sha256(folder / ADAPTER), None, None)
    run = find(store, reference)
    if run.state == "resumable":
        raise RunError(
            f"the run {run.id} is not finished", f"{run.path} has no done.json", "finish it: the same command, --resume"
        )
    if run.state == "damaged":
        raise CorruptError(f"the run {run.id} is damaged", run.note, "train it again into another folder")
    found = file_sha256(run.path / ADAPTER)
    if run.done.get("adapter_sha256", found) != found:
        raise CorruptError(
            f"the adapter of {run.id} is damaged",
            f"{run.path / ADAPTER} does not have the sha256 that done.json records",
            "train it again into another folder",
        )
    return Adapter(run.id, run.path, found, run.config.get("model_hash"), run)
