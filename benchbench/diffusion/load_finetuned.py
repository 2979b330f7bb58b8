"""Puts fine-tuned weights on a base model, in any of the formats in which they are saved."""

from __future__ import annotations

from dataclasses import replace

from benchbench.defaults import VAE_SEPARATOR, split_model
from benchbench.diffusion import backbones, single_file
from benchbench.diffusion.backbones import Backbone
from benchbench.diffusion.finetuned import load_network
from benchbench.diffusion.lora import load_adapter
from benchbench.hub.weights import Weights


def with_weights(backbone: Backbone, weights: Weights | None) -> Backbone:
    """Returns the backbone with an adapter on its UNet, with another UNet, or with the parts of a whole model.

    A VAE that was named for the base stays. Without weights it returns the base model and removes a LoRA. A LoRA
    changes the network that all backbones of this base share: use one backbone at a time. Raises CorruptError, and
    UsageError for a model of another kind.
    """
    if getattr(backbone.network, "peft_config", None):
        backbone.network.delete_adapters("default")
    if weights is None:
        return backbone
    if weights.kind == "pipeline":
        vae = split_model(backbone.name)[1]
        name = f"{weights.path}{VAE_SEPARATOR}{vae}" if vae else str(weights.path)
        return backbones.load(name, backbone.device, backbone.dtype)
    if weights.kind == "single-file":
        return single_file.load(weights.path, backbone)
    if weights.kind == "unet":
        return replace(backbone, network=load_network(weights.path, backbone))
    return replace(backbone, network=load_adapter(backbone.network, weights.path))
