"""Trains every weight of the network: unfreezes it, saves it as a diffusers folder, and loads it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from benchbench.diffusion.backbones import DTYPES, Backbone
from benchbench.diffusion.network_kind import network_class, part_name
from benchbench.diffusion.policy import Policy
from benchbench.errors import CorruptError
from benchbench.hub import models
from benchbench.runtime.files import replacing_folder, sweep
from benchbench.runtime.memory import out_of_memory


def make_trainable(policy: Policy) -> None:
    """Makes every weight of the network trainable, in float32; a frozen copy becomes the reference.

    The backbone must come from ``backbones.load(..., unet_dtype="fp32")``. If it computes in half precision, both
    networks run under autocast. The reference then stores the weights of linear and convolution layers in half
    precision: autocast would round them at each use, so its predictions are bitwise the same in half the memory.
    """
    unet, dtype = policy.backbone.network, DTYPES[policy.backbone.dtype]
    policy.reference = copy.deepcopy(unet)
    unet.requires_grad_(True)
    if dtype == torch.float32:
        return
    for layer in policy.reference.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            layer.to(dtype)
    for network in (unet, policy.reference):
        network.forward = torch.autocast(policy.backbone.device.type, dtype)(network.forward)


def save_network(network: Any, folder: Path) -> Path:
    """Writes ``folder/unet`` or ``folder/transformer`` in float32, atomically; diffusers' class reads it."""
    name = part_name(network)
    sweep(folder, name)
    with replacing_folder(folder / name) as temporary:
        network.save_pretrained(temporary, max_shard_size="100GB")  # one file, for SDXL, too
    return folder / name


def load_network(folder: Path, backbone: Backbone) -> Any:
    """Returns a fine-tuned UNet or transformer in the backbone's precision and on its device, frozen.

    Raises CorruptError for a damaged file, for weights that do not match the network in its config.json,
    and for values that are not finite.
    """
    words = {"unet": "UNet"}.get(part_name(backbone.network), "transformer")
    try:
        network, report = network_class(part_name(backbone.network)).from_pretrained(
            folder,
            variant=models.variant(folder),
            use_safetensors=models.only_safetensors(folder),
            dtype=DTYPES[backbone.dtype],
            local_files_only=True,
            output_loading_info=True,
        )
        mismatches = [name for key in ("missing_keys", "unexpected_keys", "mismatched_keys") for name in report[key]]
        if mismatches:
            raise ValueError(f"{len(mismatches)} weights are missing or do not fit, first {mismatches[0]}")
        bad = next((name for name, weight in network.named_parameters() if not weight.isfinite().all()), None)
        if bad:
            raise ValueError(f"{bad} holds values that are not finite")
    except Exception as error:  # library errors have no common class; each means a file with wrong content
        if out_of_memory(error):
            raise
        raise CorruptError(
            f"the {words} in {folder} cannot be loaded",
            str(error).strip().splitlines()[0],
            "train, fetch or save it again",
        ) from error
    return network.to(backbone.device).eval().requires_grad_(False)
