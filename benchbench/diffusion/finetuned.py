"""Training every weight of the UNet: made ready, saved as a diffusers folder, and loaded again."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from benchbench.diffusion.backbones import DTYPES, Backbone
from benchbench.diffusion.policy import Policy
from benchbench.errors import CorruptError
from benchbench.hub import models
from benchbench.runtime.files import replacing_folder, sweep

FOLDER = "unet"


def train_all(policy: Policy) -> None:
    """Makes every weight of the UNet trainable, in float32; a frozen copy becomes the reference.

    Load the backbone with ``backbones.load(..., unet_dtype="fp32")``. Where it computes in half precision both networks
    do so under autocast, and the reference keeps in half precision the weights that autocast would round at each use,
    those of linear and convolution layers: its predictions are the same bits in half the memory.
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


def save_unet(unet: Any, folder: Path) -> Path:
    """Writes ``folder/unet`` in float32, whole or not at all; ``UNet2DConditionModel.from_pretrained`` reads it."""
    sweep(folder, FOLDER)
    with replacing_folder(folder / FOLDER) as temporary:
        unet.save_pretrained(temporary, max_shard_size="100GB")  # one file, also of SDXL
    return folder / FOLDER


def load_unet(folder: Path, backbone: Backbone) -> Any:
    """A fine-tuned UNet in the backbone's precision and place, frozen.

    Errors: CorruptError for a damaged file, and for weights that do not fill the network that its config.json names.
    """
    from diffusers import UNet2DConditionModel

    try:
        unet, report = UNet2DConditionModel.from_pretrained(
            folder,
            variant=models.variant(folder),
            dtype=DTYPES[backbone.dtype],
            local_files_only=True,
            output_loading_info=True,
        )
        wrong = [name for key in ("missing_keys", "unexpected_keys", "mismatched_keys") for name in report[key]]
        if wrong:
            raise ValueError(f"{len(wrong)} weights are missing or belong elsewhere, first {wrong[0]}")
    except Exception as error:  # the libraries' errors have no common class: a file that is not what it says
        raise CorruptError(
            f"the UNet in {folder} cannot be loaded",
            str(error).strip().splitlines()[0],
            "train, fetch or save it again",
        ) from error
    return unet.to(backbone.device).eval().requires_grad_(False)
