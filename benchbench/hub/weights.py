"""Fine-tuned weights on disk, ours and those that authors released: their kind, files and hash.

| kind | layout on disk |
|---|---|
| ``lora`` | a LoRA file, alone or in a folder (``pytorch_lora_weights.safetensors``, or the only LoRA file) |
| ``unet`` | a whole UNet or SD 3 transformer, in the subfolder ``unet`` or ``transformer``, or at the root |
| ``pipeline`` | a whole pipeline with the weights merged in (``model_index.json``) |
| ``single-file`` | a UNet, or a whole model, in one safetensors file, alone or the only one in a folder |

Imports no torch, and parts of huggingface_hub only inside a function, because they load an HTTP client.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchbench.errors import CorruptError, MissingError, UsageError
from benchbench.hub import hf_cache, layout, lock, models, single_file
from benchbench.hub.models import LocalModel
from benchbench.hub.released import RELEASED
from benchbench.hub.tensor_header import read_header
from benchbench.runtime.hashing import cached_sha256, text_sha256
from benchbench.runtime.json_files import find_object

ADAPTER = "pytorch_lora_weights.safetensors"
OLD_ADAPTER = "pytorch_lora_weights.bin"
PICKLES = {".ckpt", ".pt", ".pth"}
Kind = Literal["lora", "unet", "pipeline", "single-file"]
NETWORKS = ("UNet2DConditionModel", "SD3Transformer2DModel")
SHAPE_KEYS = (
    *("in_channels", "out_channels", "sample_size", "block_out_channels", "layers_per_block", "down_block_types"),
    *("up_block_types", "cross_attention_dim", "attention_head_dim", "transformer_layers_per_block"),
    *("use_linear_projection", "addition_embed_type", "projection_class_embeddings_input_dim"),
    *("num_layers", "num_attention_heads", "patch_size", "joint_attention_dim", "pooled_projection_dim", "qk_norm"),
)
"""The config keys that decide whether weights fit a network. A missing key means the library's default."""


@dataclass(frozen=True)
class Weights:
    """Fine-tuned weights. ``path`` is a LoRA or single file, or the folder of a config.json or a model_index.json."""

    kind: Kind
    path: Path

    @property
    def files(self) -> list[Path]:
        """The files that hold the weights."""
        if self.kind in ("lora", "single-file"):
            return [self.path]
        if self.kind == "unet":
            return models.part_weights(self.path)
        return [path for part in models.weight_files(self.path).values() for path in part if path.suffix != ".json"]

    @property
    def hash(self) -> str:
        """The sha256 of the LoRA or single file, or over names and contents of all files that define the network."""
        if self.kind in ("lora", "single-file"):
            return cached_sha256(self.path)
        if self.kind == "pipeline":
            return models.content_hash(self.path)
        lines = [f"{path.name} {cached_sha256(path)}\n" for path in (self.path / "config.json", *self.files)]
        return text_sha256("".join(lines))


def find(path: Path) -> Weights | None:
    """Returns the weights in a folder or file, or None where there are none.

    Raises UsageError for several files of which none is preferred, CorruptError for a pickle that was not fetched.
    """
    weights = _find(path)
    for file in weights.files if weights else ():
        lock.refuse_unknown_pickle(file)
    return weights


def _find(path: Path) -> Weights | None:
    """Returns the weights in a folder or file, or None; reads no weights. Raises UsageError."""
    if path.is_file():
        _refuse_pickle(path)
        return _by_names(path) or (Weights("lora", path) if path.suffix in {".safetensors", ".bin"} else None)
    for name in (ADAPTER, OLD_ADAPTER):
        if (path / name).is_file():
            return Weights("lora", path / name)
    if (path / "model_index.json").is_file():
        return Weights("pipeline", path)
    for folder in (path / "unet", path / "transformer", path):
        if _config(folder).get("_class_name") in NETWORKS and models.part_weights(folder):
            return Weights("unet", folder)
    files = [found for file in sorted(path.glob("[!.]*.safetensors")) if (found := _by_names(file))]
    loras = [found for found in files if found.kind == "lora"]
    for_diffusers = [found for found in loras if "diffusers" in found.path.name]  # others are for other programs
    candidates = for_diffusers if len(for_diffusers) == 1 else loras or files
    if len(candidates) > 1:
        raise UsageError(
            f"{path} holds {len(candidates)} {'LoRA files' if loras else 'single-file checkpoints'}",
            ", ".join(found.path.name for found in candidates),
            "name the file itself",
        )
    if not candidates:
        for file in sorted(path.glob("*.ckpt")):
            _refuse_pickle(file)
    return candidates[0] if candidates else None


def _by_names(file: Path) -> Weights | None:
    """Returns the weights in a safetensors file whose tensors are named like those of a LoRA or UNet, or None."""
    header = read_header(file) if file.suffix == ".safetensors" else None
    if header and single_file.is_single_file(header):
        return Weights("single-file", file)
    return Weights("lora", file) if header and any("lora" in name.lower() for name in header.shapes) else None


def _refuse_pickle(file: Path) -> None:
    """Raises CorruptError for a checkpoint that is a pickle; people share the same as safetensors."""
    if file.suffix in PICKLES:
        raise CorruptError(
            f"{file} is a pickle",
            f"reading a {file.suffix} file can run code that is in it",
            "convert it to safetensors (docs/models.md says how), or take its author's safetensors file",
        )


def _config(folder: Path) -> dict[str, Any]:
    return find_object(folder / "config.json") or {}


def resolve(reference: str | Path) -> tuple[Weights, str, str] | None:
    """Returns the weights of a path, a released checkpoint's name, or a hub id (``OWNER/NAME`` or ``OWNER/NAME/FILE``).

    With the weights it returns a label and the name of their base model, empty where that is unknown. It returns None
    where the reference is none of these. Raises MissingError for a released checkpoint that is not on this machine.
    """
    path = Path(reference).expanduser()
    if path.exists():
        weights = find(path)
        return (weights, path.resolve().stem if path.is_file() else path.resolve().name, "") if weights else None
    released = RELEASED.get(str(reference))
    repo, inner = released.repo if released else str(reference), ""
    if not released and (match := re.fullmatch(r"([\w.-]+/[\w.-]+)/(.+)", repo)):
        repo, inner = match.groups()
    root = snapshot(repo)
    weights = find(root / inner) if root else None
    if weights:
        label = str(reference) if released else Path(str(reference)).stem if inner else repo.split("/")[1]
        return weights, label, released.base if released else ""
    if released:
        raise MissingError(
            f"the checkpoint {reference} is not on this machine",
            f"{released.repo} ({released.layout}, fine-tuned from {released.base}) is not in the Hugging Face cache",
            f"bench fetch --checkpoints {reference}",
        )
    return None


def missing(name: str) -> str | None:
    """Returns the command that fetches a released checkpoint, or None where it is on this machine."""
    try:
        resolve(name)
    except (MissingError, CorruptError) as error:
        return error.remedy
    return None


def snapshot(repo: str) -> Path | None:
    """Returns the folder of a hub id in the local cache, or None. Uses no network."""
    if not hf_cache.is_hub_id(repo) or hf_cache.repository(repo) is None:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def check_fit(weights: Weights, label: str, model: str | LocalModel) -> None:
    """Raises UsageError where the network's architecture is not the model's. A LoRA is checked when it is loaded."""
    if weights.kind == "lora":
        return
    root = models.find(model).root
    base = _config(root / layout.denoiser(root))
    if weights.kind == "single-file":
        if layout.is_sd3(root):
            raise UsageError(
                f"{label} is a single file, and {model} is an SD 3 model",
                "single files are read for Stable Diffusion 1.x, 2.x and XL only",
                "convert it into a folder of diffusers (docs/models.md)",
            )
        single_file.check_fit(single_file.read(weights.path), label, str(model), base, layout.predicts(root))
        return
    if weights.kind == "pipeline" and not layout.is_sd3(root):
        own, of_base = layout.predicts(weights.path), layout.predicts(root)
        if own != of_base:
            raise single_file.other_prediction(label, f"its scheduler says {own}", str(model), of_base)
    tuned = _config(weights.path / layout.denoiser(weights.path) if weights.kind == "pipeline" else weights.path)
    common = [key for key in SHAPE_KEYS if key in tuned and key in base]
    differences = [f"{key} {tuned[key]} instead of {base[key]}" for key in common if tuned[key] != base[key]]
    if differences:
        raise UsageError(
            f"{label} is no fine-tuned {model}",
            f"its network has {'; '.join(differences)}",
            "name the base model that it was fine-tuned from: --model",
        )
