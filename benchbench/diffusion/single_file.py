"""Loads a model from one file: diffusers renames the tensors, and here each of them is accounted for.

The functions of diffusers.loaders.single_file_utils map the names of Stability AI's code to its own and leave out what
they do not know. So the tensors of each part are counted, and names and shapes must be exactly those of the network
that the base model's settings describe. Imports diffusers, transformers and accelerate only inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from benchbench.diffusion.backbones import Backbone
from benchbench.diffusion.diffusion_schedule import DiffusionSchedule
from benchbench.diffusion.fill import empty, filled
from benchbench.diffusion.prediction import check_prediction
from benchbench.errors import BenchError, CorruptError, UsageError
from benchbench.hub import layout, models, single_file
from benchbench.hub.models import LocalModel
from benchbench.hub.single_file import SingleFile
from benchbench.runtime.memory import out_of_memory
from benchbench.runtime.quiet import silence_libraries

ROUNDING = 1e-3
"""The largest difference of a noise schedule that is stored in fp16."""


Convert = Callable[[Any, dict[str, Tensor]], dict[str, Tensor]]
"""From a network and the file's tensors of this part to tensors by the network's names."""


@dataclass(frozen=True)
class Part:
    """Makes a network from the base model's settings, and its tensors from the file's."""

    make: Callable[[], Any]
    convert: Convert


def check(path: Path, model: LocalModel) -> None:
    """Raises CorruptError unless the file's tensors are exactly those of the base model's networks; reads none."""
    found, parts = single_file.read(path), _parts(model.root)
    _read(path, [])  # raises for a header that does not fit its tensors
    for name in _wanted(found, parts, model):
        shapes = {key: torch.empty(found.header.shapes[key], device="meta") for key in found.parts[name]}
        _converted(found, name, empty(parts[name].make), parts[name].convert, shapes)


def load(path: Path, backbone: Backbone) -> Backbone:
    """Returns the backbone with the networks that the file holds; a VAE that was named with the model stays.

    Raises CorruptError (other tensors than the networks', values that are not finite) and UsageError (another noise
    schedule, a UNet that does not predict what the base model does).
    """
    model, found = models.find(backbone.name), single_file.read(path)
    parts, replaced = _parts(model.root), {}
    if "alphas_cumprod" in found.header.shapes:
        [stored] = _read(path, ["alphas_cumprod"]).values()
        _check_schedule(path, stored, backbone)
    for name in _wanted(found, parts, model):
        attribute, network = "network" if name == "unet" else name, empty(parts[name].make)
        dtype = next(getattr(backbone, attribute).parameters()).dtype
        state = _converted(found, name, network, parts[name].convert, _read(path, found.parts[name]))
        replaced[attribute] = filled(network, _numbers(path, name, state, dtype), backbone.device, dtype)
    changed = replace(backbone, **replaced)
    check_prediction(changed, backbone, path)
    return changed


def _read(path: Path, names: list[str]) -> dict[str, Tensor]:
    """Returns some tensors of the file. Raises CorruptError for a damaged file."""
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in names}
    except Exception as error:  # safetensors and torch have several classes of errors for a damaged file
        if out_of_memory(error):
            raise
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CorruptError(f"{path} is damaged", cause, "fetch or save it again") from error


def _numbers(path: Path, name: str, state: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Returns the tensors in this precision. Raises CorruptError for whole numbers and values that are not finite."""
    whole = next((key for key, tensor in state.items() if not tensor.is_floating_point()), None)
    if whole:
        raise CorruptError(
            f"{path} is quantised",
            f"{whole} of its {_words(name)} holds whole numbers ({state[whole].dtype})",
            "fetch the model in fp16, bf16 or fp32",
        )
    converted = {key: tensor.to(dtype) for key, tensor in state.items()}
    bad = next((key for key, tensor in converted.items() if not tensor.isfinite().all()), None)
    if bad:
        raise CorruptError(
            f"{path} holds values that are not finite",
            f"there are some in {bad} of its {_words(name)}: training diverged, or the file is damaged",
            "fetch it again, or take an earlier checkpoint of its training",
        )
    return converted


def _wanted(found: SingleFile, parts: Mapping[str, Part], model: LocalModel) -> list[str]:
    """Returns the parts to take from the file. Raises CorruptError for one that the base model has not."""
    for name in found.parts:
        if name not in parts:
            raise CorruptError(
                f"{found.path} belongs to another model",
                f"it holds a {_words(name)}, which the base model has not",
                "name the base model that it was fine-tuned from: --model",
            )
    return [name for name in found.parts if found.parts[name] and not (name == "vae" and model.vae)]


def _parts(root: Path) -> dict[str, Part]:
    """Returns the parts of a base model, by its configuration files."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from diffusers.loaders import single_file_utils as theirs
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    silence_libraries()

    def unet(network: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return dict(theirs.convert_ldm_unet_checkpoint(tensors, config=network.config))

    def vae(network: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return dict(theirs.convert_ldm_vae_checkpoint(tensors, config=network.config))

    parts = {
        "unet": Part(lambda: _from_config(UNet2DConditionModel, root / "unet"), unet),
        "vae": Part(lambda: _from_config(AutoencoderKL, root / "vae"), vae),
        "text_encoder": Part(lambda: _from_clip_config(CLIPTextModel, root / "text_encoder"), _text_encoder),
    }
    if layout.is_xl(root):
        second = Part(lambda: _from_clip_config(CLIPTextModelWithProjection, root / "text_encoder_2"), _text_encoder)
        parts["text_encoder_2"] = second
    return parts


def _from_config(network_class: Any, folder: Path) -> Any:
    return network_class.from_config(network_class.load_config(folder, local_files_only=True))


def _from_clip_config(network_class: Any, folder: Path) -> Any:
    from transformers import CLIPTextConfig

    return network_class(CLIPTextConfig.from_pretrained(folder, local_files_only=True))


def _text_encoder(network: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors of a text encoder by transformers' names, from those of transformers 4 or of open_clip."""
    from diffusers.loaders import single_file_utils as theirs

    first = next(iter(tensors))
    prefix = next((begin for begin in single_file.PARTS if first.startswith(begin)), "")
    if any(name.startswith(f"{prefix}model.") for name in tensors):
        state = theirs.convert_open_clip_checkpoint(network, tensors, prefix=f"{prefix}model.")
    else:
        state = theirs.convert_ldm_clip_checkpoint(tensors)
    if hasattr(network, "text_model"):
        return dict(state)
    return {name.removeprefix("text_model."): tensor for name, tensor in state.items()}


def _converted(
    found: SingleFile, name: str, network: Any, convert: Convert, tensors: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Returns the tensors of a part by their names in the network. Raises CorruptError unless they fill it exactly."""
    try:
        if found.of_diffusers:
            state = {key.removeprefix(single_file.OF_DIFFUSERS): tensor for key, tensor in tensors.items()}
        else:
            state = convert(network, dict(tensors))
    except Exception as error:  # where a tensor lacks, the functions of diffusers raise KeyError, AttributeError ...
        if out_of_memory(error):
            raise
        lacking = str(error).strip("'\"") or type(error).__name__
        raise _no_fit(found, name, f"{lacking}: a tensor is missing or has another shape") from error
    state = {key: tensor for key, tensor in state.items() if tensor is not None}
    wanted = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    missing, extra = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    if missing:
        raise _no_fit(found, name, f"{len(missing)} of its {len(wanted)} tensors are missing: {missing[0]}")
    if extra:
        raise _no_fit(found, name, f"{len(extra)} of its tensors are not in the base model's: {extra[0]}")
    other = next((key for key in wanted if tuple(state[key].shape) != wanted[key]), None)
    if other:
        shapes = f"{list(state[other].shape)} instead of {list(wanted[other])}"
        raise _no_fit(found, name, f"{other} has another shape: {shapes}")
    joined = sum(key.endswith((".in_proj_weight", ".in_proj_bias")) for key in tensors)  # three tensors in one
    if len(tensors) + 2 * joined != len(state):
        raise _no_fit(found, name, f"it has {len(tensors)} tensors, of which {len(state) - 2 * joined} have a place")
    return state


def _words(part: str) -> str:
    return {"unet": "UNet", "vae": "VAE"}.get(part, part.replace("_", " "))


def _no_fit(found: SingleFile, name: str, cause: str) -> BenchError:
    return CorruptError(
        f"the {_words(name)} in {found.path} is not whole",
        cause,
        "fetch or save it again, and name the base model that it was fine-tuned from: --model",
    )


def _check_schedule(path: Path, stored: Tensor, backbone: Backbone) -> None:
    """Raises UsageError where the file's noise schedule is not the base model's."""
    own = DiffusionSchedule.from_config(backbone.scheduler_config, 1, 1.0).train_signal.square()
    stored = stored.float().flatten()
    if len(stored) != len(own) or not torch.allclose(stored, own, rtol=0, atol=ROUNDING):
        raise UsageError(
            f"{path} has another noise schedule than its base model",
            "its alphas_cumprod differ, so the base model's sampler would not fit its UNet",
            "choose a checkpoint with the schedule of its base model",
        )
