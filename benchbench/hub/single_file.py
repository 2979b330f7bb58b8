"""A model in one safetensors file, as people share it: what it holds and whether it fits, by its header alone.

| layout | names of tensors |
|---|---|
| checkpoint of Stability AI's code | ``model.diffusion_model.*``, ``first_stage_model.*``, ``cond_stage_model.*`` ... |
| UNet of Stability AI's code | ``model.diffusion_model.*`` alone |
| UNet of diffusers | ``down_blocks.*`` ..., with or without ``unet.`` in front |

Tokenizers, noise schedule and settings always come from the base model, and so do a VAE and text encoders that the file
lacks. Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchbench.errors import CorruptError, UsageError
from benchbench.hub import layout
from benchbench.hub.families import NAMES, TEXT_WIDTHS
from benchbench.hub.models import LocalModel
from benchbench.hub.tensor_header import TensorHeader, read_header

UNET = "model.diffusion_model."
PARTS = {
    UNET: "unet",
    "first_stage_model.": "vae",
    "cond_stage_model.": "text_encoder",
    "conditioner.embedders.0.": "text_encoder",
    "conditioner.embedders.1.": "text_encoder_2",
}
"""The part of a pipeline by the beginning of its tensors' names in Stability AI's code."""
OF_DIFFUSERS = "unet."
BLOCKS = (
    *("conv_in.", "conv_out.", "conv_norm_out.", "time_embedding.", "add_embedding."),
    *("down_blocks.", "mid_block.", "up_blocks."),
)
"""The beginnings of the names in a UNet of diffusers."""
ADAPTER = re.compile(r"lora|\.(hada|lokr|oft|boft|glora|ia3)_|\.(dora_scale|diff|diff_b|alpha)$", re.IGNORECASE)
UNUSED = re.compile(
    r"model_ema\.(?P<average>.+)"
    r"|(betas|alphas_cumprod(_prev)?|sqrt_.+|log_one_minus_alphas_cumprod|posterior_.+|lvlb_weights|logvar)"
    r"|denoiser\.(sigmas|log_sigmas)"
    r"|v_pred"
    r"|(cond_stage_model|conditioner\.embedders\.[01])\.((transformer|model)\.)?logit_scale"
    r"|(cond_stage_model|conditioner\.embedders\.0)\.transformer\.text_model\.embeddings\.position_ids"
    r"|(cond_stage_model|conditioner\.embedders\.0)\.((transformer|model)\.)?text_projection(\.weight)?"
    r"|cond_stage_model\.model\.transformer\.resblocks\.23\..+"  # SD 2.x reads the layer before its last
)
"""Tensors that play no part in making an image with the base model's noise schedule."""
V_PREDICTION = "v_pred"
EDM = ("edm_vpred.sigma_max", "edm_vpred.sigma_min", "edm_mean", "edm_std")
"""Empty or small tensors by which ComfyUI's models say what they predict."""
SAID = {"eps": "epsilon", "v_prediction": "v", "v-prediction": "v"}
"""Our names of the prediction types in the metadata of files, where they differ."""
CHANNELS = {9: "it is for inpainting", 8: "it edits pictures (InstructPix2Pix)", 5: "it reads a depth map"}
WIDTHS: Mapping[int, str] = {**TEXT_WIDTHS, 2048: "sdxl"}
"""The family of models by the width of the UNet's text conditioning."""
KNOWN_WIDTHS = {**{width: NAMES[family] for width, family in WIDTHS.items()}, 1280: "the refiner of SDXL"}


@dataclass(frozen=True)
class SingleFile:
    """The tensors of a file by the part to which they belong; ``of_diffusers`` if they have diffusers' names."""

    path: Path
    header: TensorHeader
    parts: Mapping[str, list[str]]
    of_diffusers: bool

    @property
    def averaged(self) -> bool:
        """True where the file also holds averages of the UNet's weights (EMA), which are not used."""
        return any(match and match["average"] for match in map(UNUSED.fullmatch, self.header.shapes))

    @cached_property
    def says(self) -> tuple[str, str] | None:
        """The UNet's prediction (``epsilon``, ``v`` or another word), and the mark by which the file says so."""
        for name in (V_PREDICTION, *EDM):
            if name in self.header.shapes:
                return ("v" if name == V_PREDICTION else name), name
        metadata = self.header.metadata
        if metadata.get("ss_v_parameterization", "False") == "True":
            return "v", "v-parameterization"
        said = metadata.get("modelspec.prediction_type", "").lower()
        return (SAID.get(said, said), f"prediction type {said}") if said else None

    @cached_property
    def channels(self) -> int | None:
        """The channels of the latents that the UNet takes."""
        return self._axis_1(r"(.*\.)?(conv_in|input_blocks\.0\.0)\.weight")

    @cached_property
    def text_width(self) -> int | None:
        """The width of the UNet's text conditioning."""
        return self._axis_1(r".*\.attn2\.to_k\.weight")

    def _axis_1(self, pattern: str) -> int | None:
        shapes = (self.header.shapes[name] for name in self.parts["unet"] if re.fullmatch(pattern, name))
        return next((shape[1] for shape in shapes if len(shape) > 1), None)


def is_single_file(header: TensorHeader | None) -> bool:
    """Returns whether the tensors are of a whole model or UNet, and of no adapter."""
    names = header.shapes if header else {}
    if any(map(ADAPTER.search, names)):
        return False
    return any(
        name.startswith((*PARTS, *BLOCKS)) or name.removeprefix(OF_DIFFUSERS).startswith(BLOCKS) for name in names
    )


def read(path: Path) -> SingleFile:
    """Returns what a file holds. Raises CorruptError for a tensor that belongs to no part, and a file without UNet."""
    header = read_header(path)
    if header is None or not header.whole:
        cause = "its length is not what it says itself" if header else "it does not begin like a safetensors file"
        raise CorruptError(f"{path} is damaged", cause, "fetch or save it again")
    parts: dict[str, list[str]] = {"unet": []}
    unknown, of_diffusers = [], not any(name.startswith(tuple(PARTS)) for name in header.shapes)
    for name in header.shapes:
        beginning = next((begin for begin in PARTS if name.startswith(begin)), None)
        if UNUSED.fullmatch(name):
            continue
        if of_diffusers and name.removeprefix(OF_DIFFUSERS).startswith(BLOCKS):
            parts["unet"].append(name)
        elif beginning:
            parts.setdefault(PARTS[beginning], []).append(name)
        else:
            unknown.append(name)
    found = SingleFile(path, header, parts, of_diffusers)
    _refuse_unknown_predictions(found)
    if unknown:
        raise CorruptError(
            f"{path} holds more than a model",
            f"{len(unknown)} of its {len(header.shapes)} tensors belong to no part of Stable Diffusion: {unknown[0]}",
            "save it again without them, or convert it into a folder (docs/models.md)",
        )
    if not parts["unet"]:
        raise CorruptError(
            f"{path} holds no UNet",
            f"it holds {', '.join(part.replace('_', ' ') for part in parts if parts[part])}",
            "name a file with a UNet; a VAE is named with the model: --model MODEL+vae=FOLDER",
        )
    return found


def _refuse_unknown_predictions(found: SingleFile) -> None:
    """Raises UsageError for a file that says itself that its UNet predicts neither noise nor v."""
    if found.says and found.says[0] not in layout.WORDS:
        raise UsageError(
            f"{found.path} predicts neither noise nor v",
            f"the file says {found.says[1]}",
            "choose a checkpoint that predicts noise (epsilon) or v",
        )
    if "ztsnr" in found.header.shapes:
        raise UsageError(
            f"{found.path} has another noise schedule",
            "the file says ztsnr: its last step is pure noise",
            "choose a checkpoint with the schedule of its base model",
        )


def check_fit(found: SingleFile, label: str, model: str, unet: Mapping[str, Any], predicts: str) -> None:
    """Raises UsageError where the UNet is not of the base model's family, or predicts something else.

    ``unet`` is the base model's config.json, ``predicts`` what it predicts.
    """
    if found.says and found.says[0] != predicts:
        raise other_prediction(label, f"the file says {found.says[1]}", model, predicts)
    problem, base = f"{label} is no fine-tuned {model}", "name the base model that it was fine-tuned from: --model"
    if found.channels is None or found.text_width is None:
        cause = "it has no first convolution of one, or no attention to the text"
        raise UsageError(f"{label} is no Stable Diffusion 1.x, 2.x or XL", cause, "choose another checkpoint")
    width = unet.get("cross_attention_dim", found.text_width)
    if width != found.text_width:
        theirs, ours = (
            f" ({KNOWN_WIDTHS[size]})" if size in KNOWN_WIDTHS else "" for size in (found.text_width, width)
        )
        cause = f"its text conditioning is {found.text_width} wide{theirs}, that of {model} is {width} wide{ours}"
        raise UsageError(problem, cause, f"{base} {WIDTHS.get(found.text_width, 'MODEL')}")
    channels = unet.get("in_channels", 4)
    if channels != found.channels:
        why = f": {CHANNELS[found.channels]}" if found.channels in CHANNELS else ""
        cause = f"its UNet takes {found.channels} channels, that of {model} {channels}{why}"
        raise UsageError(problem, cause, "choose a checkpoint that makes images from text alone")


def other_prediction(label: str, cause: str, model: str, predicts: str) -> UsageError:
    """Returns the error for weights that predict something else than the base model, whose sampler would be wrong."""
    of_base = layout.WORDS.get(predicts, predicts)
    other = (
        "a model that predicts v, such as sd21v" if predicts == "epsilon" else "one that predicts noise, such as sd21"
    )
    return UsageError(
        f"{label} does not predict {of_base}",
        f"{cause}; {model} predicts {of_base}, and its sampler fits no other prediction",
        f"name the base model that it was fine-tuned from, --model: {other}",
    )


def described(found: SingleFile, model: LocalModel) -> str:
    """Returns a sentence on what of the file is used and what comes from the base model."""
    every = ["vae", "text_encoder", *(["text_encoder_2"] if layout.is_xl(model.root) else [])]
    used = [part for part in every if found.parts.get(part) and not (part == "vae" and model.vae)]
    lacking = [part for part in every if part not in used]
    sentence = f"of the file: {_words(['unet', *used])}; of {model}: {_words([*lacking, 'tokenizer', 'schedule'])}"
    return f"{sentence}; the averaged weights (model_ema) are not used" if found.averaged else sentence


def _words(parts: list[str]) -> str:
    words = {"unet": "UNet", "vae": "VAE", "text_encoder_2": "second text encoder", "schedule": "noise schedule"}
    return ", ".join(words.get(part, part.replace("_", " ")) for part in parts)
