"""Loads the parts that a pipeline's folder takes from the embedded model instead of holding them: ``borrowed.json``.

The folder of shapes-flow holds its transformer alone; VAE, text encoder and tokenizer are those of shapes. Imports
torch, diffusers and transformers only inside functions: they take seconds to load.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbench import defaults
from benchbench.errors import CorruptError
from benchbench.runtime.json_files import read_object
from benchbench.runtime.memory import out_of_memory
from benchbench.runtime.quiet import silence_libraries

FILE = "borrowed.json"
LENDER = "shapes"
"""The one model that lends its parts: it is in every installation."""
CLASSES = {"vae": "AutoencoderKL", "text_encoder": "CLIPTextModelWithProjection", "tokenizer": "CLIPTokenizer"}
"""The parts that it lends, by folder, each with the class that it is loaded as."""
LACKED = ("text_encoder_3", "tokenizer_3")
"""The parts that a pipeline may lack: T5 and its tokenizer. SD3's pipeline wants to be told so when it is loaded."""
PROJECTION = "text_projection.weight"
CONFIG = ("shift_factor", "projection_dim")
"""The settings that may differ from those of the lender."""


@dataclass(frozen=True)
class Part:
    """A part of a pipeline that another model lends."""

    folder: Path
    class_name: str
    config: tuple[tuple[str, float], ...]
    """Settings that replace those in the part's own config.json, by name."""


@dataclass(frozen=True)
class Borrowed:
    """The content of a ``borrowed.json``."""

    parts: dict[str, Part | None]
    """The borrowed parts by their names in the pipeline, such as ``text_encoder_2``; None for a part that it lacks."""
    max_sequence_length: int
    """The number of T5 tokens that the pipeline must be called with; 0 where it has no T5."""


def read(root: Path) -> Borrowed | None:
    """Returns which parts the pipeline in ``root`` borrows, or None where it holds all of them itself.

    Raises CorruptError for a file that names another model than shapes, or a part that shapes does not lend.
    """
    file = root / FILE
    if not file.is_file():
        return None
    content = read_object(file, "install the package again, or make the model's folder again")
    lender = defaults.of(LENDER).embedded
    try:
        length = int(content["max_sequence_length"])
        if lender is None or length < 0:
            raise ValueError(f"max_sequence_length is {length}")
        return Borrowed({name: _part(name, entry, lender) for name, entry in content["parts"].items()}, length)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptError(
            f"{file} cannot be used",
            f"missing: {error}" if isinstance(error, KeyError) else str(error),
            f"name parts of {LENDER} only ({', '.join(CLASSES)}); benchbench/shapes/README.md shows the file",
        ) from error


def _part(name: str, entry: dict[str, Any] | None, lender: Path) -> Part | None:
    """Returns one part, or None for one that the pipeline lacks.

    Raises ValueError, KeyError, AttributeError or TypeError for an entry that is not allowed.
    """
    if entry is None and name in LACKED:
        return None
    if entry is None:
        raise ValueError(f"{name} is null")
    folder, model, config = entry["folder"], entry["model"], entry.get("config", {})
    if model != LENDER or folder not in CLASSES or name.removesuffix("_2") != folder:
        raise ValueError(f"{name} is said to be the {folder!r} of {model!r}")
    unknown = [key for key, value in config.items() if key not in CONFIG or not isinstance(value, int | float)]
    if unknown:
        raise ValueError(f"{name} has a setting that is not allowed: {unknown[0]!r}")
    return Part(lender / folder, CLASSES[folder], tuple(config.items()))


def load(root: Path) -> dict[str, Any]:
    """Returns the borrowed parts of the pipeline in ``root``, loaded in float32 on the CPU, by name; maybe none.

    They are arguments of the pipeline: ``StableDiffusion3Pipeline.from_pretrained(root, **load(root))``. A part that
    the pipeline lacks is None, and two names of the same part get one object. Errors: those of ``read``, and
    CorruptError for a part that cannot be loaded.
    """
    borrowed = read(root)
    if borrowed is None:
        return {}
    loaded = {part: load_part(part) if part else None for part in dict.fromkeys(borrowed.parts.values())}
    return {name: loaded[part] for name, part in borrowed.parts.items()}


def load_part(part: Part) -> Any:
    """Returns a borrowed part, in float32 on the CPU. Raises CorruptError where it cannot be loaded."""
    import diffusers
    import torch
    import transformers

    silence_libraries()
    library = diffusers if part.class_name == CLASSES["vae"] else transformers
    options: dict[str, Any] = {"local_files_only": True}
    try:
        if part.class_name == CLASSES["tokenizer"]:
            return transformers.CLIPTokenizer.from_pretrained(part.folder, **options)
        network, report = getattr(library, part.class_name).from_pretrained(
            part.folder, dtype=torch.float32, output_loading_info=True, **options, **dict(part.config)
        )
        missing = {str(name) for name in report["missing_keys"]}
        if PROJECTION in missing:
            # The encoder of shapes was trained without a projection, and SD3's pipeline reads the output of one.
            torch.nn.init.eye_(network.text_projection.weight)
            missing.remove(PROJECTION)
        if missing:
            raise ValueError(f"{len(missing)} weights are not in the file, first {min(missing)}")
        return network.eval().requires_grad_(False)
    except Exception as error:  # of safetensors, OSError, ValueError, KeyError
        if out_of_memory(error):
            raise
        raise CorruptError(
            f"the {part.folder.name} cannot be loaded from {part.folder}",
            str(error).strip().splitlines()[0],
            "install the package again, or build the world again: bench shapes build --out FOLDER",
        ) from error
