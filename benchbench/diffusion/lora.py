"""Adds a LoRA adapter to a UNet, saves it so that plain diffusers loads it, and loads it.

The released code of DDPO, D3PO and SPO uses rank 4 on q, k, v and out of every attention, A ~ N(0, 1/r²) and B = 0.

Imports diffusers and peft only inside functions: they take seconds to load.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from benchbench.diffusion import lora_half
from benchbench.errors import CorruptError
from benchbench.noise import hash64
from benchbench.runtime.files import replacing, sweep
from benchbench.runtime.json_files import parse_object, read_object

WEIGHT_NAME = "pytorch_lora_weights.safetensors"
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


def add_lora(unet: Any, rank: int, alpha: float, seed: int) -> None:
    """Adds a new float32 adapter that depends on the seed alone, on any device; the network must be frozen."""
    from peft import LoraConfig

    unet.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=TARGETS))
    for name, parameter in unet.named_parameters():
        if not parameter.requires_grad:
            continue
        parameter.data = parameter.data.float()
        if ".lora_A." in name:
            generator = torch.Generator().manual_seed(hash64(seed, "lora", name))
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) / rank)
    lora_half.install(unet)


def adapter_state(unet: Any) -> dict[str, Tensor]:
    """Returns the adapter's tensors by name."""
    from peft.utils import get_peft_model_state_dict

    state: dict[str, Tensor] = get_peft_model_state_dict(unet)
    return state


def save_adapter(unet: Any, folder: Path) -> Path:
    """Writes the adapter into ``folder``, atomically; ``pipe.load_lora_weights(folder)`` reads it."""
    from diffusers import StableDiffusionPipeline

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in adapter_state(unet).items()}
    config = unet.peft_config["default"].to_dict()
    config = {k: sorted(v) if isinstance(v, set) else v for k, v in config.items()}
    sweep(folder, WEIGHT_NAME)
    with replacing(folder / WEIGHT_NAME) as temporary:
        StableDiffusionPipeline.save_lora_weights(
            folder, unet_lora_layers=state, unet_lora_adapter_metadata=config, weight_name=temporary.name
        )
        temporary.write_bytes(_sort_metadata(temporary.read_bytes()))
    return folder / WEIGHT_NAME


def _sort_metadata(file: bytes) -> bytes:
    """Returns the safetensors file with its metadata sorted by name; safetensors writes them in any order.

    Images are stored under the hash of the file, so equal trainings must give equal files.
    """
    end = 8 + int.from_bytes(file[:8], "little")
    header = parse_object(file[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + file[end:]


def load_adapter(unet: Any, path: Path) -> None:
    """Puts a saved adapter on a network without adapter, for inference.

    ``path`` is the file or its folder. Raises CorruptError for a damaged file and for an adapter of another model.
    """
    from diffusers import StableDiffusionPipeline

    file = path / WEIGHT_NAME if path.is_dir() else path
    if not file.is_file():
        raise CorruptError(
            f"{path} holds no adapter", f"there is no {file.name} in it", "name a finished run: bench list runs"
        )
    try:
        source = _open(file)
    except Exception as error:
        raise CorruptError(
            f"the adapter {file} is damaged", str(error), "train it again, or resume the run: bench train ... --resume"
        ) from error
    try:
        state, alphas, metadata = StableDiffusionPipeline.lora_state_dict(
            source, return_lora_metadata=True, unet_config=unet.config
        )
        state = _peft_names(state)
        metadata = metadata or _adapter_config(file)
        unet.load_lora_adapter(state, prefix="unet", network_alphas=alphas, metadata=metadata, adapter_name="default")
        model_layers = {name.split(".lora_")[0] for name in adapter_state(unet)}
        layers = {name.removeprefix("unet.").split(".lora_")[0] for name in state}
        if not layers or not layers <= model_layers:
            raise ValueError(f"{len(layers - model_layers)} of its {len(layers)} layers are not in this model")
    except (RuntimeError, ValueError, KeyError) as error:
        raise CorruptError(
            f"the adapter {file} belongs to another model",
            str(error).strip().splitlines()[0],
            "evaluate it with the model that it was trained on (`bench show run` names it)",
        ) from error
    unet.requires_grad_(False)
    lora_half.install(unet)


def _open(file: Path) -> Path | dict[str, Tensor]:
    """Returns the path of a valid safetensors file, or the tensors of a ``.bin`` file, read without running pickles."""
    if file.suffix == ".bin":
        tensors: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        return tensors
    with safe_open(file, "pt"):
        return file


def _peft_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors under peft's names. Raises ValueError for an adapter of a text encoder.

    It reads ``unet.X.to_q.lora_A.weight`` (peft, or without prefix), ``unet.X.to_q.lora.down.weight`` (diffusers), and
    ``X.processor.to_q_lora.down.weight`` (the attention processors of diffusers up to 0.17, which DDPO and D3PO used).
    """
    from diffusers.utils import convert_unet_state_dict_to_peft

    text_encoder = [name for name in state if name.startswith("text_encoder")]
    if text_encoder:
        raise ValueError(f"{len(text_encoder)} of its tensors are for the text encoder, which is not supported")
    plain = {}
    for name, tensor in state.items():
        short_name = name.removeprefix("base_model.model.").removeprefix("unet.")
        plain[short_name.replace(".processor.", ".")] = tensor
    return {f"unet.{name}": tensor for name, tensor in convert_unet_state_dict_to_peft(plain).items()}


def _adapter_config(file: Path) -> dict[str, Any] | None:
    """Returns peft's adapter_config.json beside the file, which contains alpha; None: alpha is the rank."""
    config_file = file.parent / "adapter_config.json"
    if not config_file.is_file():
        return None
    config = read_object(config_file, "fetch the adapter again")
    return {f"unet.{key}": value for key, value in config.items()}
