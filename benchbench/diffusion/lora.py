"""The LoRA adapter: made, saved so that plain diffusers loads it, and loaded again.

Rank 4 on q, k, v and out of every attention, A ~ N(0, 1/r²) and B = 0, is what DDPO, D3PO and SPO released.
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
    """Adds a fresh float32 adapter, a function of the seed on any device; the network must be frozen already."""
    from peft import LoraConfig

    unet.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=TARGETS))
    for name, parameter in unet.named_parameters():
        if not parameter.requires_grad:
            continue
        parameter.data = parameter.data.float()
        if ".lora_A." in name:
            draw = torch.Generator().manual_seed(hash64(seed, "lora", name))
            parameter.data.copy_(torch.randn(parameter.shape, generator=draw) / rank)
    lora_half.install(unet)


def adapter_state(unet: Any) -> dict[str, Tensor]:
    """The adapter's tensors by name."""
    from peft.utils import get_peft_model_state_dict

    return get_peft_model_state_dict(unet)


def save_adapter(unet: Any, folder: Path) -> Path:
    """Writes the adapter into ``folder``, whole or not at all; ``pipe.load_lora_weights(folder)`` reads it."""
    from diffusers import StableDiffusionPipeline

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in adapter_state(unet).items()}
    config = unet.peft_config["default"].to_dict()
    config = {k: sorted(v) if isinstance(v, set) else v for k, v in config.items()}
    sweep(folder, WEIGHT_NAME)
    with replacing(folder / WEIGHT_NAME) as temporary:
        StableDiffusionPipeline.save_lora_weights(
            folder, unet_lora_layers=state, unet_lora_adapter_metadata=config, weight_name=temporary.name
        )
        temporary.write_bytes(_in_order(temporary.read_bytes()))
    return folder / WEIGHT_NAME


def _in_order(file: bytes) -> bytes:
    """The same safetensors file with its metadata in alphabetical order, as they are written in any.

    Images are kept under the hash of the file: the same training made again must find them.
    """
    end = 8 + int.from_bytes(file[:8], "little")
    header = parse_object(file[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + file[end:]


def load_adapter(unet: Any, path: Path) -> None:
    """Puts a saved adapter on a network that has none, ready for inference.

    ``path`` is the file or its folder. Errors: CorruptError for a damaged file and for an adapter of another model.
    """
    from diffusers import StableDiffusionPipeline

    file = path / WEIGHT_NAME if path.is_dir() else path
    if not file.is_file():
        raise CorruptError(
            f"{path} holds no adapter", f"there is no {file.name} in it", "name a finished run: bench list runs"
        )
    try:
        saved = _read(file)
    except Exception as error:
        raise CorruptError(
            f"the adapter {file} is damaged", str(error), "train it again, or resume the run: bench train ... --resume"
        ) from error
    try:
        state, alphas, metadata = StableDiffusionPipeline.lora_state_dict(
            saved, return_lora_metadata=True, unet_config=unet.config
        )
        state = _peft_names(state)
        metadata = metadata or _own_config(file)
        unet.load_lora_adapter(state, prefix="unet", network_alphas=alphas, metadata=metadata, adapter_name="default")
        fits = {name.split(".lora_")[0] for name in adapter_state(unet)}
        asked = {name.removeprefix("unet.").split(".lora_")[0] for name in state}
        if not asked or not asked <= fits:
            raise ValueError(f"{len(asked - fits)} of its {len(asked)} layers are not in this model")
    except (RuntimeError, ValueError, KeyError) as error:
        raise CorruptError(
            f"the adapter {file} belongs to another model",
            str(error).strip().splitlines()[0],
            "evaluate it with the model that it was trained on (`bench show run` names it)",
        ) from error
    unet.requires_grad_(False)
    lora_half.install(unet)


def _read(file: Path) -> Path | dict[str, Tensor]:
    """A safetensors file that can be opened, or the tensors of an old pickle, read as nothing but tensors."""
    if file.suffix == ".bin":
        tensors: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        return tensors
    with safe_open(file, "pt"):
        return file


def _peft_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as peft has them, from any of the ways of writing them; an adapter of a text encoder is refused.

    ``unet.X.to_q.lora_A.weight`` (peft, with or without the prefix), ``unet.X.to_q.lora.down.weight`` (diffusers), and
    ``X.processor.to_q_lora.down.weight`` (the attention processors of diffusers up to 0.17, which DDPO and D3PO used).
    """
    from diffusers.utils import convert_unet_state_dict_to_peft

    others = [name for name in state if name.startswith("text_encoder")]
    if others:
        raise ValueError(f"{len(others)} of its tensors are for the text encoder, which we do not change")
    plain = {}
    for name, tensor in state.items():
        inner = name.removeprefix("base_model.model.").removeprefix("unet.")
        plain[inner.replace(".processor.", ".")] = tensor
    return {f"unet.{name}": tensor for name, tensor in convert_unet_state_dict_to_peft(plain).items()}


def _own_config(file: Path) -> dict[str, Any] | None:
    """peft's adapter_config.json beside the file, which has the alpha; without one alpha is the rank."""
    beside = file.parent / "adapter_config.json"
    if not beside.is_file():
        return None
    config = read_object(beside, "fetch the adapter again")
    return {f"unet.{key}": value for key, value in config.items()}
