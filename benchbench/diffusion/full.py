"""Training every weight of the UNet: made ready, saved as a diffusers folder, and loaded again."""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from benchbench.diffusion import models
from benchbench.diffusion.backbones import DTYPES, Backbone
from benchbench.diffusion.policy import Policy
from benchbench.errors import CorruptError

FOLDER = "unet"


def train_all(policy: Policy) -> None:
    """Every weight becomes trainable; a frozen copy is the reference, which costs the UNet's memory once more.

    The weights are float32 (``backbones.load(..., unet_dtype="fp32")``). Where the backbone computes in half precision
    both networks do so under autocast, so that before the first update their predictions are equal to the bit.
    """
    unet, dtype = policy.backbone.unet, DTYPES[policy.backbone.dtype]
    policy.reference = copy.deepcopy(unet)
    unet.requires_grad_(True)
    if dtype != torch.float32:
        for network in (unet, policy.reference):
            network.forward = torch.autocast(policy.backbone.device.type, dtype)(network.forward)


def save_unet(unet: Any, folder: Path) -> Path:
    """Writes ``folder/unet`` in float32, whole or not at all; ``UNet2DConditionModel.from_pretrained`` reads it."""
    temporary, final = folder / f".{os.getpid()}.{FOLDER}", folder / FOLDER
    for left in folder.glob(f".*.{FOLDER}"):
        shutil.rmtree(left)
    try:
        unet.save_pretrained(temporary, max_shard_size="100GB")  # one file, also of SDXL
        if final.exists():  # of a writer that was killed before it could mark the run as done
            shutil.rmtree(final)
        os.replace(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


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
