"""A base model with fine-tuned weights, whichever way they were saved."""

from __future__ import annotations

from dataclasses import replace

from benchbench.defaults import split_model
from benchbench.diffusion import backbones
from benchbench.diffusion.backbones import Backbone
from benchbench.diffusion.finetuned import load_unet
from benchbench.diffusion.lora import load_adapter
from benchbench.hub import models
from benchbench.hub.weights import Weights


def with_weights(backbone: Backbone, weights: Weights | None) -> Backbone:
    """The backbone with a LoRA on its UNet or with another UNet; of a merged pipeline all of it, but for a VAE that was
    named for the base. Without weights it is the base again.

    A LoRA changes the network that all backbones of this base share: use one of them at a time. Errors: CorruptError.
    """
    if getattr(backbone.network, "peft_config", None):
        backbone.network.delete_adapters("default")
    if weights is None:
        return backbone
    if weights.kind == "pipeline":
        vae = split_model(backbone.name)[1]
        name = f"{weights.path}{models.OTHER_VAE}{vae}" if vae else str(weights.path)
        return backbones.load(name, backbone.device, backbone.dtype)
    if weights.kind == "unet":
        return replace(backbone, network=load_unet(weights.path, backbone))
    load_adapter(backbone.network, weights.path)
    return backbone
