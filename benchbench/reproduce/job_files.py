"""The files of the store that a job of a plan reads and makes; only machines that do not share the store need to know.

An input that does not lie in the store, as fetched pairs or a checkpoint in another folder, must be on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from benchbench import prompts
from benchbench.errors import BenchError
from benchbench.reproduce.measurement_job import IMAGE_PROTOCOLS
from benchbench.runtime.backends.base import StoreFiles
from benchbench.runtime.json_files import find_object
from benchbench.store import runs
from benchbench.store.run_file import RUN

MADE_PAIRS = ("pairs/**", "images/**", "scores/**")
"""An offline method makes these where its base model makes its pairs."""
MEASURED = ("images/*/*.webp", "images/*/record.json", "scores/**", "measurements/**")


def training_files(out: Path, offline: bool, store: Path) -> StoreFiles:
    """Returns the files of a training whose folder is ``out``: it goes on from what that holds."""
    run = f"{out.relative_to(store).as_posix()}/**"
    needs = [run, *(["pairs/**"] if offline else [])]
    return StoreFiles(store, lambda: needs, [run, *(MADE_PAIRS if offline else ())])


def measurement_files(protocol: str, references: Sequence[str], prompt_set: str, store: Path) -> StoreFiles:
    """Returns the files of a measurement of runs: their weights, and what was measured of them before."""
    return StoreFiles(store, partial(_needs, protocol, references, prompt_set, store), MEASURED)


def _needs(protocol: str, references: Sequence[str], prompt_set: str, store: Path) -> list[str]:
    in_store = [name for name in references if (store / "runs" / name).is_dir()]
    patterns = [f"runs/{name}/{files}" for name in in_store for files in ("*", "unet/**", "kept/**")]
    with_kept_weights = dict.fromkeys(name.partition("/")[0] for name in in_store if "/" in name)
    patterns += [f"runs/{run}/{RUN}" for run in with_kept_weights]
    for generation in _generations(references, prompts.load(prompt_set).name, store):
        patterns += [f"images/{generation}/*.webp", f"images/{generation}/record.json", f"scores/{generation}/**"]
    return patterns if protocol in IMAGE_PROTOCOLS else [*patterns, "measurements/**"]


def _generations(references: Sequence[str], prompts_name: str, store: Path) -> list[str]:
    """Returns the folders of images that these weights (none: the base model) drew of a prompt set."""
    hashes: set[str | None] = set() if references else {None}
    for reference in references:
        with suppress(BenchError):  # the job itself says what is wrong with it
            hashes.add(runs.find_adapter(store, reference).hash)
    found = []
    for record in sorted(store.glob("images/*/record.json")):
        key = (find_object(record) or {}).get("key")
        if isinstance(key, dict) and key.get("adapter_hash") in hashes and key.get("prompts_name") == prompts_name:
            found.append(record.parent.name)
    return found
