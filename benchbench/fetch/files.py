"""Fetches models, checkpoints, prompt sets and rewards; a file that changed since its first fetch is an error.

Imports pandas and the hub's HTTP client only inside functions, where they are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchbench import defaults, prompts, registry, reward_calls
from benchbench.defaults import split_model
from benchbench.errors import BenchError, CorruptError, MissingError
from benchbench.fetch.prompt_files import read_rows, write_set
from benchbench.hub import assets, models, weights
from benchbench.hub.hf_cache import is_hub_id
from benchbench.hub.lock import pin
from benchbench.hub.released import PIPELINE, RELEASED, ROOT
from benchbench.rewards import lookup
from benchbench.runtime.files import cache_folder, write_atomic
from benchbench.runtime.hashing import cached_sha256, file_sha256

MODEL_FILES = (
    "model_index.json",
    "scheduler/*.json",
    "tokenizer/*",
    "tokenizer_2/*",
    "tokenizer_3/*",
    "*/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
    "text_encoder_2/model.safetensors",
    "text_encoder_3/model.safetensors",
    "text_encoder_3/model-*-of-*.safetensors",
    "text_encoder_3/model.safetensors.index.json",
    "transformer/diffusion_pytorch_model.safetensors",
    "transformer/diffusion_pytorch_model-*-of-*.safetensors",
    "transformer/diffusion_pytorch_model.safetensors.index.json",
)
"""The files of a StableDiffusionPipeline, an SDXL or an SD 3 pipeline: full precision, safetensors."""
UNWANTED = ("*.msgpack", "*.onnx*", "*non_ema*", "*.ckpt", "*.xml")
NOT_NEEDED = ("safety_checker/*", "feature_extractor/*", "vae_1_0/*", "vae_decoder/*", "vae_encoder/*")
VAE_FILES = ("config.json", "diffusion_pytorch_model.safetensors")


def fetch_model(name: str) -> Path:
    """Fetches a model unless it is on this machine, and returns its folder; ``MODEL+vae=ID`` fetches the VAE too."""
    name, vae = split_model(name)
    if vae:
        try:
            models.vae_folder(vae)
        except MissingError:
            _snapshot(f"the VAE {vae!r}", (vae,), "model", "main", VAE_FILES, ())
    if models.missing(name) is None:
        return models.pipeline_folder(name)
    if defaults.of(name).embedded is not None:
        models.pipeline_folder(name)  # raises: the model is shipped with the package
    ids = models.aliases().get(name, (name,))
    folder = _snapshot(f"the model {name!r}", ids, "model", "main", MODEL_FILES, NOT_NEEDED)
    models.weight_files(folder)  # raises where a part has no safetensors file
    return folder


def fetch_checkpoint(name: str) -> Path:
    """Fetches a released checkpoint, by short name or hub id, unless it is on this machine; returns its folder.

    Safetensors are preferred. The hash of each file is recorded; only pickles with a recorded hash are read later.
    """
    released = RELEASED.get(name)
    repo = released.repo if released else name
    if not released and not is_hub_id(name):
        raise registry.unknown("checkpoint", name, list(RELEASED), "`bench list checkpoints` shows every name")
    wanted = released.files if released else (*PIPELINE, *ROOT, "pytorch_lora_weights*", "*lora*", "adapter_*")
    with suppress(MissingError):
        if weights.resolve(name):
            return weights.snapshot(repo) or Path(name)
    for unwanted in ((*UNWANTED, "*.bin"), UNWANTED):
        folder = _snapshot(f"the checkpoint {name!r}", (repo,), "model", "main", wanted, unwanted)
        for file in sorted(folder.rglob("*")):
            if file.suffix in {".safetensors", ".bin"}:
                pin(f"file {repo} {file.relative_to(folder)}", cached_sha256(file))
        with suppress(MissingError):
            if weights.find(folder):
                return folder
    raise CorruptError(
        f"{repo} holds no weights in a known layout",
        f"{folder} holds neither a LoRA file, a UNet, a transformer nor a pipeline of safetensors or torch files",
        "docs/models.md lists the layouts",
    )


def fetch_prompt_set(name: str) -> str:
    """Fetches a prompt set unless it is on this machine; returns a message with the number of prompts."""
    full = prompts.find(name)
    entry = prompts.index().get(full or "")
    if full is None:
        raise registry.unknown("prompt set", name, prompts.names(), "`bench list prompts` shows every name")
    if entry is not None and entry.fetch is not None and prompts.missing(full):
        _fetch_prompts(full, entry.fetch, entry.count)
    return f"{len(prompts.load(full))} prompts are here"


def fetch_reward(name: str) -> str:
    """Fetches the files of a reward and returns a message; hashes are checked, and recorded at the first fetch."""
    reward_class = lookup.get(name)
    for asset in reward_class.assets:
        if asset.missing():
            _fetch_asset(asset)
    problem = reward_calls.missing(reward_class)
    if problem:
        raise MissingError(
            f"the reward {name!r} cannot be fetched", problem, f"get its weights: {reward_class.weights}"
        )
    return "here"


def _fetch_asset(asset: assets.Asset) -> None:
    """Fetches an asset from the first repository that has all of its files, else from the asset's address."""
    problems: list[str] = []
    corrupt: CorruptError | None = None
    for source in (*asset.repos, *([asset.url] if asset.url else [])):
        try:
            return _fetch_files(asset, source)
        except CorruptError as error:  # another file of this name; a later source may have the right one
            corrupt = corrupt or error
        except Exception as error:  # the network's errors have no common class: offline, gone, gated, interrupted
            problems.append(f"{source}: {first_line(error)}")
    if corrupt:
        raise corrupt
    raise MissingError(
        f"{asset.title} cannot be fetched",
        "; ".join(problems),
        f"go online (unset HF_HUB_OFFLINE) and run it again, or set {assets.LOCAL_FOLDER} to a folder with the files",
    )


def _fetch_files(asset: assets.Asset, source: str) -> None:
    """Fetches an asset from a repository or from its address, and checks the hash of each file.

    Raises CorruptError, FileNotFoundError, or an error of the network.
    """
    if source == asset.url:
        path = assets.download_folder() / asset.files[0][0]
        write_atomic(path, _get(asset.url))
        try:
            asset.check(source, path, file_sha256(path))
        except CorruptError:
            path.unlink()
            raise
        return
    available = repository(source, "model", "main")
    wanted = []
    for names in asset.files:
        present = [name for name in names if name in available]
        if not present:
            raise FileNotFoundError(f"it has no {' or '.join(names)}")
        wanted.append(present[0])
    folder = download(source, "model", "main", wanted, ())
    for name in wanted:
        asset.check(source, folder / name, file_sha256(folder / name))


def _fetch_prompts(name: str, source: prompts.Fetch, count: int) -> None:
    """Fetches the prompts of a set and writes them to the cache. Raises CorruptError for unexpected prompts."""
    files = _prompt_files(name, source)
    for path in files:
        sha256 = file_sha256(path)
        if not sha256.startswith(source.sha256):
            raise CorruptError(
                f"the file of {name!r} is not the expected one",
                f"{path} has the sha256 {sha256}, which does not begin with {source.sha256}",
                "report it; until then give the prompts as a file",
            )
    rows = [row for path in files for row in read_rows(path, source.column, source.image) if row.text]
    if len(rows) != count:
        raise CorruptError(
            f"the files of {name!r} are not the expected ones",
            f"{len(rows)} prompts in {', '.join(path.name for path in files) or 'no file'}, {count} expected",
            "report it; until then give the prompts as a file",
        )
    write_set(name, rows)


def _prompt_files(name: str, source: prompts.Fetch) -> list[Path]:
    """Downloads the files of a prompt set and returns their paths. Raises MissingError."""
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


def _snapshot(
    title: str, repos: Sequence[str], kind: str, revision: str, wanted: Sequence[str], unwanted: Sequence[str]
) -> Path:
    """Returns the folder of the matching files, from the first repository that answers. Raises MissingError."""
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
        f"{title} cannot be fetched",
        "; ".join(problems),
        "go online (unset HF_HUB_OFFLINE) and run it again, or copy the Hugging Face cache from a machine that has it",
    )


def repository(repo: str, kind: str, revision: str) -> list[str]:
    """Returns the names of a repository's files. Raises CorruptError where its revision is not the recorded one."""
    from huggingface_hub import HfApi

    info = HfApi().repo_info(repo, repo_type=kind, revision=revision)
    pin(f"{kind} {repo} {revision}", info.sha or "")
    return [file.rfilename for file in getattr(info, "siblings", None) or ()]


def download(repo: str, kind: str, revision: str, wanted: Sequence[str], unwanted: Sequence[str]) -> Path:
    """Downloads the matching files of a repository and returns their folder in the Hugging Face cache."""
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        repo, repo_type=kind, revision=revision, allow_patterns=[*wanted], ignore_patterns=[*unwanted]
    )
    return Path(folder)


def _get(url: str) -> bytes:
    """Returns the content of an address outside the hub. Raises OSError, also if HF_HUB_OFFLINE is set."""
    from urllib.request import urlopen

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    with urlopen(url, timeout=60) as response:
        data: bytes = response.read()
    return data


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, or its class name where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
