"""Adds a LoRA adapter to a UNet or transformer, saves it so that plain diffusers loads it, and loads it.

The released code of DDPO, D3PO and SPO uses rank 4 on q, k, v and out of every attention, A ~ N(0, 1/r²) and B = 0.

Imports diffusers and peft only inside functions: they take seconds to load.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchbench.diffusion import lora_file, lora_half
from benchbench.diffusion.lora_file import LoraFile
from benchbench.diffusion.lora_merge import merged_network
from benchbench.diffusion.network_kind import lora_targets, part_name
from benchbench.errors import CorruptError
from benchbench.noise import hash64
from benchbench.runtime.files import replacing, sweep
from benchbench.runtime.json_files import parse_object
from benchbench.runtime.memory import out_of_memory

WEIGHT_NAME = "pytorch_lora_weights.safetensors"
ADAPTER = lora_half.ADAPTER


def add_lora(unet: Any, rank: int, alpha: float, seed: int) -> None:
    """Adds a new float32 adapter that depends on the seed alone, on any device; the network must be frozen."""
    from peft import LoraConfig

    targets = lora_targets(unet)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=targets))
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
    from diffusers import StableDiffusion3Pipeline, StableDiffusionPipeline

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in adapter_state(unet).items()}
    config = unet.peft_config["default"].to_dict()
    config = {k: sorted(v) if isinstance(v, set) else v for k, v in config.items()}
    sweep(folder, WEIGHT_NAME)
    with replacing(folder / WEIGHT_NAME) as temporary:
        part = part_name(unet)
        named = {f"{part}_lora_layers": state, f"{part}_lora_adapter_metadata": config}
        pipeline = StableDiffusionPipeline if part == "unet" else StableDiffusion3Pipeline
        pipeline.save_lora_weights(folder, weight_name=temporary.name, **named)
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


def load_adapter(unet: Any, path: Path) -> Any:
    """Puts a saved adapter on a network without adapter, for inference, and returns the network that computes with it.

    A LoRA is put on ``unet`` itself. DoRA and convolutions of three matrices are merged into another network, and
    ``unet`` stays as it is. ``path`` is the file or its folder. Raises CorruptError for a damaged file, for an adapter
    of another model, and for a file that would not be loaded wholly; the network is then as it was.
    """
    file = path / WEIGHT_NAME if path.is_dir() else path
    if not file.is_file():
        raise CorruptError(
            f"{path} holds no adapter", f"there is no {file.name} in it", "name a finished run: bench list runs"
        )
    adapter = lora_file.read(file, unet)
    if not adapter.plain:
        return merged_network(unet, adapter, file)
    part = part_name(unet)
    state = {f"{part}.{name}": tensor for name, tensor in adapter.state().items()}
    metadata = {f"{part}.{name}": value for name, value in adapter.config().items()}
    try:
        unet.load_lora_adapter(state, prefix=part, metadata=metadata, adapter_name=ADAPTER)
        _check_loaded(unet, adapter)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        if out_of_memory(error):
            raise
        if ADAPTER in getattr(unet, "peft_config", {}):
            unet.delete_adapters(ADAPTER)
        raise CorruptError(
            f"the adapter {file} was not loaded wholly", str(error).strip().splitlines()[0], "please report it"
        ) from error
    unet.requires_grad_(False)
    lora_half.install(unet)
    return unet


def _check_loaded(unet: Any, adapter: LoraFile) -> None:
    """Raises ValueError unless the network's adapter is the file's: layers, values and scales."""
    layers = {name: module for name, module in unet.named_modules() if ADAPTER in getattr(module, "lora_A", ())}
    if set(layers) != set(adapter.layers):
        raise ValueError(f"the network has {len(layers)} adapted layers, the file {len(adapter.layers)}")
    for name, module in layers.items():
        layer = adapter.layers[name]
        for own, loaded in ((layer.A, module.lora_A[ADAPTER].weight), (layer.B, module.lora_B[ADAPTER].weight)):
            if not torch.equal(own.to(loaded), loaded):
                raise ValueError(f"{name} has other values than the file")
        if module.scaling[ADAPTER] != adapter.scale(layer):
            raise ValueError(f"{name} has the scale {module.scaling[ADAPTER]}, the file says {adapter.scale(layer)}")
