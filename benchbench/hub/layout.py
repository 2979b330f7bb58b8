"""The layout of a pipeline's folder, by its class: the parts it has, where each lies, and what its configs say.

Imports no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchbench.errors import UsageError
from benchbench.hub import borrowed
from benchbench.runtime.json_files import read_object

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
XL_PARTS = (*PARTS, "text_encoder_2", "tokenizer_2")
XL = "StableDiffusionXLPipeline"
SD3 = "StableDiffusion3Pipeline"
SD3_PARTS = ("transformer", "vae", "text_encoder", "tokenizer", "scheduler", "text_encoder_2", "tokenizer_2")
T5_TOKENS = 256  # as StableDiffusion3Pipeline reads them by default
T5_PARTS = ("text_encoder_3", "tokenizer_3")
PIPELINES = ("StableDiffusionPipeline", XL, SD3)
FETCH_AGAIN = "fetch the model again"
PREDICTION_TYPES = {"epsilon": "epsilon", "v_prediction": "v"}
"""Our names of diffusers' prediction types."""
WORDS = {"epsilon": "noise (epsilon)", "v": "v"}
"""Words for a network's prediction."""


def check_pipeline_class(root: Path) -> None:
    """Raises UsageError, which names the pipeline's class, for a pipeline that this release cannot run."""
    class_name = _index(root).get("_class_name")
    if class_name not in PIPELINES:
        raise UsageError(
            f"{root} is a {class_name}",
            f"models of StableDiffusionPipeline (SD 1.x and 2.x), {XL} and {SD3} are supported",
            "choose another model: bench list models",
        )


def is_xl(root: Path) -> bool:
    """Returns whether the folder holds an SDXL pipeline: two text encoders, conditioned on the image size."""
    return _index(root).get("_class_name") == XL


def is_sd3(root: Path) -> bool:
    """Returns whether the folder holds an SD 3 pipeline: a transformer trained by flow matching."""
    return _index(root).get("_class_name") == SD3


def parts_of(root: Path) -> tuple[str, ...]:
    """Returns the names of a pipeline's parts; an SD 3 pipeline may lack T5."""
    if not is_sd3(root):
        return XL_PARTS if is_xl(root) else PARTS
    t5 = any(_index(root).get("text_encoder_3") or ())
    return SD3_PARTS + (T5_PARTS if t5 else ())


def part_folder(root: Path, part: str) -> Path:
    """Returns the folder of a part: in the pipeline's own, or the one that its borrowed.json names."""
    lent = borrowed.read(root)
    found = lent.parts.get(part) if lent else None
    return found.folder if found else root / part


def denoiser(root: Path) -> str:
    """Returns the name of the part that is trained: unet, or transformer."""
    return "transformer" if is_sd3(root) else "unet"


def predicts(root: Path) -> str:
    """Returns what a UNet pipeline predicts, as its scheduler's config says: ``epsilon``, ``v`` or another word."""
    said = read_object(root / "scheduler" / "scheduler_config.json", FETCH_AGAIN).get("prediction_type", "epsilon")
    return PREDICTION_TYPES.get(said, str(said))


def t5_tokens(root: Path) -> int | None:
    """Returns the number of T5 tokens of a prompt in an SD 3 pipeline; None for other pipelines."""
    if not is_sd3(root):
        return None
    lent = borrowed.read(root)
    return lent.max_sequence_length if lent else T5_TOKENS


def zeros_for_empty(root: Path) -> bool:
    """Returns whether guidance uses zeros instead of the encoded empty prompt as its unconditional embedding.

    SDXL's own pipeline does so, and so does SPO's training code, which calls that pipeline; see docs/models.md.
    """
    return is_xl(root) and bool(_index(root).get("force_zeros_for_empty_prompt", True))


def image_size(root: Path) -> int:
    """Returns the side of the model's images in pixels, from its config.json files."""
    unet, vae = (read_object(part_folder(root, part) / "config.json", FETCH_AGAIN) for part in (denoiser(root), "vae"))
    factor: int = 2 ** (len(vae["block_out_channels"]) - 1)
    return int(unet["sample_size"]) * factor


def batch_size(root: Path) -> int:
    """Returns the default number of images generated or decoded at a time: 64 up to 256 px, 16 at 512, 4 at 1024."""
    return max(1, min(64, 2**22 // image_size(root) ** 2))


def _index(root: Path) -> dict[str, Any]:
    return read_object(root / "model_index.json", FETCH_AGAIN)
