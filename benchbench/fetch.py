"""Fetches models and prompt sets from the hub, and refuses what has changed there since the first fetch."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchbench import prompts, registry
from benchbench.diffusion import models
from benchbench.errors import BenchError, CorruptError, MissingError
from benchbench.store.files import write_atomic

# What a StableDiffusionPipeline needs, each weight once: full precision, safetensors.
MODEL_FILES = (
    "model_index.json",
    "scheduler/*.json",
    "tokenizer/*",
    "*/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
)
NOT_NEEDED = ("safety_checker/*", "feature_extractor/*")


def model(name: str) -> Path:
    """The folder of a model, fetched unless it is here."""
    if models.missing(name) is None:
        return models.folder(name)
    if models.is_shapes(name):
        models.folder(name)  # raises: it is shipped, not fetched
    ids = models.aliases().get(name, (name,))
    folder = _snapshot(f"the model {name!r}", ids, "model", "main", MODEL_FILES, NOT_NEEDED)
    models.weight_files(folder)  # raises where the repository has no safetensors file of a part
    return folder


def prompt_set(name: str) -> str:
    """Fetches a prompt set; says how many prompts it has."""
    full = prompts.find(name)
    entry = prompts.index().get(full or "")
    if full is None:
        raise registry.unknown("prompt set", name, prompts.names(), "`bench list prompts` shows every name")
    if entry is not None and entry.fetch is not None and prompts.missing(full):
        _fetch_prompts(full, entry.fetch, entry.count)
    return f"{len(prompts.load(full))} prompts are here"


def reward(name: str) -> str:
    """Says that a reward is here; no reward of this release has weights that are not shipped."""
    cls = registry.get("rewards", name)
    problem = cls.missing()
    if problem:
        raise MissingError(f"the reward {name!r} cannot be fetched", problem, f"get its weights: {cls.weights}")
    return "here"


def _fetch_prompts(name: str, source: prompts.Fetch, count: int) -> None:
    folder = _snapshot(f"the prompts {name!r}", source.repos, "dataset", source.revision, source.files, ())
    files = sorted(path for pattern in source.files for path in folder.glob(pattern))
    found = [text.strip() for path in files for text in _texts(path, source.column) if text and text.strip()]
    if len(found) != count:
        raise CorruptError(
            f"the hub's files of {name!r} are not the expected ones",
            f"{len(found)} prompts in {', '.join(path.name for path in files) or 'no file'}, {count} expected",
            "report it; until then give the prompts as a file",
        )
    from benchbench.api import PromptSet

    _locked(f"prompts {name}", PromptSet(name, tuple(found), "", "").hash)
    lines = "".join(json.dumps({"prompt": text}, ensure_ascii=False) + "\n" for text in found)
    write_atomic(prompts.cache_folder() / "prompts" / f"{name}.jsonl", lines.encode())


def _texts(path: Path, column: str) -> list[Any]:
    if path.suffix == ".parquet":
        import pandas as pd

        return pd.read_parquet(path, columns=[column])[column].tolist()
    if path.suffix == ".json":
        rows: list[Any] = json.loads(path.read_text(encoding="utf-8"))
        return [row[column] for row in rows] if column else rows
    with path.open(encoding="utf-8", newline="") as file:
        return [row[column] for row in csv.DictReader(file, delimiter="\t")]


def _snapshot(
    what: str, repos: Sequence[str], kind: str, revision: str, wanted: Sequence[str], unwanted: Sequence[str]
) -> Path:
    """The files of the first repository that answers, at the revision that the lock records."""
    from huggingface_hub import HfApi, snapshot_download

    problems = []
    for repo in repos:
        try:
            sha = HfApi().repo_info(repo, repo_type=kind, revision=revision).sha or ""
            _locked(f"{kind} {repo} {revision}", sha)
            folder = snapshot_download(
                repo, repo_type=kind, revision=revision, allow_patterns=[*wanted], ignore_patterns=[*unwanted]
            )
            return Path(folder)
        except BenchError:
            raise
        except Exception as error:  # the network's errors have no common class: offline, gone, gated, interrupted
            problems.append(f"{repo}: {(str(error).strip() or type(error).__name__).splitlines()[0]}")
    raise MissingError(
        f"{what} cannot be fetched",
        "; ".join(problems),
        "go online (unset HF_HUB_OFFLINE) and run it again, or copy the Hugging Face cache from a machine that has it",
    )


def _locked(key: str, value: str) -> None:
    """Records the value at the first fetch and refuses another one later."""
    path = prompts.cache_folder() / "lock.json"
    try:
        lock = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise CorruptError(f"{path} is damaged", str(error), "delete it; the next fetch records anew") from error
    if lock.setdefault(key, value) != value:
        raise CorruptError(
            f"{key} has changed on the hub since it was first fetched",
            f"recorded {lock[key]}, now {value}",
            f"to accept the change, delete its line in {path}",
        )
    write_atomic(path, (json.dumps(lock, indent=1, sort_keys=True) + "\n").encode())
