"""Fine-tuned weights as they lie on disk, ours and those that authors released: which kind, which files, which hash.

| kind | what lies there |
|---|---|
| ``lora`` | a LoRA file, alone or in a folder (``pytorch_lora_weights.safetensors``, or the one that there is) |
| ``unet`` | a whole UNet, in the subfolder ``unet`` or at the root (``config.json`` of a UNet2DConditionModel) |
| ``pipeline`` | a whole pipeline with the weights merged in (``model_index.json``) |

Imports no torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchbench.errors import CorruptError, MissingError, UsageError
from benchbench.hub import hf_cache, lock, models
from benchbench.hub.models import LocalModel
from benchbench.hub.released import RELEASED
from benchbench.runtime.hashing import cached_sha256, text_sha256
from benchbench.runtime.json_files import find_object, parse_object

ADAPTER = "pytorch_lora_weights.safetensors"
OLD_ADAPTER = "pytorch_lora_weights.bin"
Kind = Literal["lora", "unet", "pipeline"]
# What makes a UNet's weights fit or not; a key that only one of two configs has is a default of the library.
SHAPE = (
    *("in_channels", "out_channels", "sample_size", "block_out_channels", "layers_per_block", "down_block_types"),
    *("up_block_types", "cross_attention_dim", "attention_head_dim", "transformer_layers_per_block"),
    *("use_linear_projection", "addition_embed_type", "projection_class_embeddings_input_dim"),
)


@dataclass(frozen=True)
class Weights:
    """``path`` is a LoRA's file, a UNet's folder (it has the config.json) or a pipeline's (the model_index.json)."""

    kind: Kind
    path: Path

    @property
    def files(self) -> list[Path]:
        """The files that hold the weights."""
        if self.kind == "lora":
            return [self.path]
        if self.kind == "unet":
            return models.weights(self.path)
        return [path for part in models.weight_files(self.path).values() for path in part if path.suffix != ".json"]

    @property
    def hash(self) -> str:
        """sha256 of the LoRA's bytes, or over the names and bytes of everything that defines the network."""
        if self.kind == "lora":
            return cached_sha256(self.path)
        if self.kind == "pipeline":
            return models.content_hash(self.path)
        listed = [f"{path.name} {cached_sha256(path)}\n" for path in (self.path / "config.json", *self.files)]
        return text_sha256("".join(listed))


def find(path: Path) -> Weights | None:
    """The weights of a folder or file, or None where there are none.

    Errors: UsageError for several LoRA files of which none is the one, CorruptError for a pickle that is not pinned.
    """
    found = _find(path)
    for file in found.files if found else ():
        if file.suffix == ".bin" and not lock.holds(cached_sha256(file)):
            raise CorruptError(
                f"{file} is a pickle that nobody vouches for",
                "its sha256 is not among those that bench fetch recorded, and a pickle can run code",
                "save it again as safetensors, or get it by: bench fetch --checkpoints",
            )
    return found


def _find(path: Path) -> Weights | None:
    if path.is_file():
        return Weights("lora", path) if path.suffix in {".safetensors", ".bin"} else None
    for name in (ADAPTER, OLD_ADAPTER):
        if (path / name).is_file():
            return Weights("lora", path / name)
    if (path / "model_index.json").is_file():
        return Weights("pipeline", path)
    for folder in (path / "unet", path):
        if _config(folder).get("_class_name") == "UNet2DConditionModel" and models.weights(folder):
            return Weights("unet", folder)
    loras = [file for file in sorted(path.glob("*.safetensors")) if _is_lora(file)]
    marked = [file for file in loras if "diffusers" in file.name]  # beside a copy for other programs
    chosen = marked if len(marked) == 1 else loras
    if len(chosen) > 1:
        raise UsageError(
            f"{path} holds {len(chosen)} LoRA files", ", ".join(file.name for file in chosen), "name the file itself"
        )
    return Weights("lora", chosen[0]) if chosen else None


def _config(folder: Path) -> dict[str, Any]:
    return find_object(folder / "config.json") or {}


def _is_lora(file: Path) -> bool:
    """By the names in a safetensors file's header, which is JSON after eight bytes of length."""
    try:
        with file.open("rb") as handle:
            header = parse_object(handle.read(int.from_bytes(handle.read(8), "little")))
    except (OSError, ValueError, MemoryError, OverflowError):
        return False
    return any("lora" in name.lower() for name in header)


def resolve(reference: str | Path) -> tuple[Weights, str, str] | None:
    """Weights by path, by a released checkpoint's name or by hub id (``OWNER/NAME`` or ``OWNER/NAME/FILE``).

    Returns them with a label and the base model that they are known to be made from, empty where it is not known; None
    where the reference is none of these. Errors: MissingError for a released checkpoint that is not here.
    """
    path = Path(reference).expanduser()
    if path.exists():
        found = find(path)
        return (found, path.resolve().stem if path.is_file() else path.resolve().name, "") if found else None
    known = RELEASED.get(str(reference))
    repo, inner = known.repo if known else str(reference), ""
    if not known and (match := re.fullmatch(r"([\w.-]+/[\w.-]+)/(.+)", repo)):
        repo, inner = match.groups()
    root = snapshot(repo)
    found = find(root / inner) if root else None
    if found:
        label = str(reference) if known else Path(str(reference)).stem if inner else repo.split("/")[1]
        return found, label, known.base if known else ""
    if known:
        raise MissingError(
            f"the checkpoint {reference} is not on this machine",
            f"{known.what} of {known.repo}, made from {known.base}, is not in the Hugging Face cache",
            f"bench fetch --checkpoints {reference}",
        )
    return None


def missing(name: str) -> str | None:
    """The command that gets a released checkpoint, or None where it is here."""
    try:
        resolve(name)
    except (MissingError, CorruptError) as error:
        return error.remedy
    return None


def snapshot(repo: str) -> Path | None:
    """The folder of a hub id in the local cache, asking no network."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo) or hf_cache.repository(repo) is None:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def check_fit(weights: Weights, label: str, model: str | LocalModel) -> None:
    """Raises UsageError where the UNet is not built like the model's; a LoRA says so when it is loaded."""
    if weights.kind == "lora":
        return
    folder = weights.path / "unet" if weights.kind == "pipeline" else weights.path
    its, own = _config(folder), _config(models.find(model).root / "unet")
    both = [key for key in SHAPE if key in its and key in own]
    differ = [f"{key} {its[key]} instead of {own[key]}" for key in both if its[key] != own[key]]
    if differ:
        raise UsageError(
            f"{label} is no fine-tuned {model}",
            f"its UNet has {'; '.join(differ)}",
            "evaluate it with the model that it was made from: --model",
        )
