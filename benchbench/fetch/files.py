"""Fetches models and prompt sets from the hub, and refuses what has changed there since the first fetch."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchbench import defaults, prompts, registry
from benchbench.defaults import split_model
from benchbench.errors import BenchError, CorruptError, MissingError
from benchbench.hub import assets, models, weights
from benchbench.hub.lock import agree
from benchbench.hub.released import PIPELINE, RELEASED, ROOT
from benchbench.rewards import lookup
from benchbench.runtime.files import cache_folder, write_atomic
from benchbench.runtime.hashing import cached_sha256, file_sha256
from benchbench.runtime.json_files import find_list

# What a StableDiffusionPipeline or an SDXL one needs, each weight once: full precision, safetensors.
MODEL_FILES = (
    "model_index.json",
    "scheduler/*.json",
    "tokenizer/*",
    "tokenizer_2/*",
    "*/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
    "text_encoder_2/model.safetensors",
)
UNWANTED = ("*.msgpack", "*.onnx*", "*non_ema*", "*.ckpt", "*.xml")
NOT_NEEDED = ("safety_checker/*", "feature_extractor/*", "vae_1_0/*", "vae_decoder/*", "vae_encoder/*")
VAE_FILES = ("config.json", "diffusion_pytorch_model.safetensors")


def model(name: str) -> Path:
    """The folder of a model, fetched unless it is here; of ``MODEL+vae=ID`` both are fetched."""
    name, vae = split_model(name)
    if vae:
        try:
            models.vae_folder(vae)
        except MissingError:
            _snapshot(f"the VAE {vae!r}", (vae,), "model", "main", VAE_FILES, ())
    if models.missing(name) is None:
        return models.folder(name)
    if defaults.of(name).embedded is not None:
        models.folder(name)  # raises: it is shipped, not fetched
    ids = models.aliases().get(name, (name,))
    folder = _snapshot(f"the model {name!r}", ids, "model", "main", MODEL_FILES, NOT_NEEDED)
    models.weight_files(folder)  # raises where the repository has no safetensors file of a part
    return folder


def checkpoint(name: str) -> Path:
    """The folder of a released checkpoint by our name or a hub id, fetched unless it is here.

    Safetensors where the authors have them; each file's hash is recorded, which is what lets a pickle be read.
    """
    known = RELEASED.get(name)
    repo = known.repo if known else name
    if not known and not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise registry.unknown("checkpoint", name, list(RELEASED), "`bench list checkpoints` shows every name")
    wanted = known.files if known else (*PIPELINE, *ROOT, "pytorch_lora_weights*", "*lora*", "adapter_*")
    with suppress(MissingError):
        if weights.resolve(name):
            return weights.snapshot(repo) or Path(name)
    for unwanted in ((*UNWANTED, "*.bin"), UNWANTED):
        folder = _snapshot(f"the checkpoint {name!r}", (repo,), "model", "main", wanted, unwanted)
        for file in sorted(folder.rglob("*")):
            if file.suffix in {".safetensors", ".bin"}:
                agree(f"file {repo} {file.relative_to(folder)}", cached_sha256(file))
        with suppress(MissingError):
            if weights.find(folder):
                return folder
    raise CorruptError(
        f"{repo} holds no weights that can be read here",
        f"what was fetched to {folder} is neither a LoRA file, a UNet nor a pipeline of safetensors or torch files",
        "see docs/models.md for what is read",
    )


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
    """Fetches what a reward needs; each file's hash is checked, and recorded the first time."""
    cls = lookup.get(name)
    for asset in cls.assets:
        if asset.missing():
            _fetch_asset(asset)
    problem = cls.missing()
    if problem:
        raise MissingError(f"the reward {name!r} cannot be fetched", problem, f"get its weights: {cls.weights}")
    return "here"


def _fetch_asset(asset: assets.Asset) -> None:
    """From the first repository that has every file, else from the asset's own address."""
    problems: list[str] = []
    wrong: CorruptError | None = None
    for place in (*asset.repos, *([asset.url] if asset.url else [])):
        try:
            return _fetch_files(asset, place)
        except CorruptError as error:  # another file by this name; a later place may have the right one
            wrong = wrong or error
        except Exception as error:  # the network's errors have no common class: offline, gone, gated, interrupted
            problems.append(f"{place}: {first_line(error)}")
    if wrong:
        raise wrong
    raise MissingError(
        f"{asset.what} cannot be fetched",
        "; ".join(problems),
        f"go online (unset HF_HUB_OFFLINE) and run it again, or set {assets.LOCAL} to a folder that holds the files",
    )


def _fetch_files(asset: assets.Asset, place: str) -> None:
    """From a repository, or from the asset's own address; then each file's hash is computed and checked."""
    if place == asset.url:
        path = assets.own_folder() / asset.files[0][0]
        write_atomic(path, _get(asset.url))
        try:
            asset.check(place, path, file_sha256(path))
        except CorruptError:
            path.unlink()
            raise
        return
    found = repository(place, "model", "main")
    wanted = []
    for names in asset.files:
        there = [name for name in names if name in found]
        if not there:
            raise FileNotFoundError(f"it has no {' or '.join(names)}")
        wanted.append(there[0])
    folder = download(place, "model", "main", wanted, ())
    for name in wanted:
        asset.check(place, folder / name, file_sha256(folder / name))


def _fetch_prompts(name: str, source: prompts.Fetch, count: int) -> None:
    files = _prompt_files(name, source)
    for path in files:
        found_hash = file_sha256(path)
        if not found_hash.startswith(source.sha256):
            raise CorruptError(
                f"the file of {name!r} is not the expected one",
                f"{path} has the sha256 {found_hash}, which does not begin with {source.sha256}",
                "report it; until then give the prompts as a file",
            )
    found = [text.strip() for path in files for text in _texts(path, source.column) if text and text.strip()]
    if len(found) != count:
        raise CorruptError(
            f"the files of {name!r} are not the expected ones",
            f"{len(found)} prompts in {', '.join(path.name for path in files) or 'no file'}, {count} expected",
            "report it; until then give the prompts as a file",
        )
    from benchbench.types import PromptSet

    agree(f"prompts {name}", PromptSet(name, tuple(found), "", "").hash)
    lines = "".join(json.dumps({"prompt": text}, ensure_ascii=False) + "\n" for text in found)
    write_atomic(cache_folder() / "prompts" / f"{name}.jsonl", lines.encode())


def _prompt_files(name: str, source: prompts.Fetch) -> list[Path]:
    if not source.url:
        folder = _snapshot(f"the prompts {name!r}", source.repos, "dataset", source.revision, source.files, ())
        return sorted(path for pattern in source.files for path in folder.glob(pattern))
    path = cache_folder() / "prompts" / "sources" / source.url.rsplit("/", 1)[-1]
    try:
        write_atomic(path, _get(source.url))
    except OSError as error:
        raise MissingError(
            f"the prompts {name!r} cannot be fetched",
            f"{source.url}: {first_line(error)}",
            "go online (unset HF_HUB_OFFLINE) and run it again, or give the prompts as a file",
        ) from error
    return [path]


def _texts(path: Path, column: str) -> list[Any]:
    if path.suffix == ".parquet":
        import pandas as pd

        return pd.read_parquet(path, columns=[column])[column].tolist()
    if path.suffix == ".json":
        rows = find_list(path) or []  # their number is checked
        return [row[column] for row in rows] if column else rows
    with path.open(encoding="utf-8", newline="") as file:
        return [row[column] for row in csv.DictReader(file, delimiter="\t")]


def _snapshot(
    what: str, repos: Sequence[str], kind: str, revision: str, wanted: Sequence[str], unwanted: Sequence[str]
) -> Path:
    """The files of the first repository that answers, at the revision that the lock records."""
    problems = []
    for repo in repos:
        try:
            repository(repo, kind, revision)
            return download(repo, kind, revision, wanted, unwanted)
        except BenchError:
            raise
        except Exception as error:  # the network's errors have no common class: offline, gone, gated, interrupted
            problems.append(f"{repo}: {first_line(error)}")
    raise MissingError(
        f"{what} cannot be fetched",
        "; ".join(problems),
        "go online (unset HF_HUB_OFFLINE) and run it again, or copy the Hugging Face cache from a machine that has it",
    )


def repository(repo: str, kind: str, revision: str) -> list[str]:
    """The names of a repository's files, at the revision that the lock records."""
    from huggingface_hub import HfApi

    info = HfApi().repo_info(repo, repo_type=kind, revision=revision)
    agree(f"{kind} {repo} {revision}", info.sha or "")
    return [file.rfilename for file in getattr(info, "siblings", None) or ()]


def download(repo: str, kind: str, revision: str, wanted: Sequence[str], unwanted: Sequence[str]) -> Path:
    """The folder of a repository's files that match, in the Hugging Face cache."""
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        repo, repo_type=kind, revision=revision, allow_patterns=[*wanted], ignore_patterns=[*unwanted]
    )
    return Path(folder)


def _get(url: str) -> bytes:
    """A file that is not on the hub. Errors: OSError, also where the hub is switched off."""
    from urllib.request import urlopen

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    with urlopen(url, timeout=60) as answer:
        data: bytes = answer.read()
    return data


def first_line(error: Exception) -> str:
    """What an error says, for a cause of one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
