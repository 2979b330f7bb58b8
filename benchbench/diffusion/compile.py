"""Makes networks faster or smaller: always where no number changes, and on GPUs where the settings ask for it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchbench.diffusion.backbones import Backbone

REGIONS = {"BasicTransformerBlock", "ResnetBlock2D"}
VARIANTS = 64  # of a region: its widths, batch sizes, adapter on or off, with and without gradient; PyTorch's own is 8


def keep_signature() -> None:
    """diffusers asks its attention's function for its parameters at every call, a tenth of a millisecond a layer; here
    the answer is kept where Python looks for it first.
    """
    from diffusers.models.attention_processor import AttnProcessor2_0

    call: Any = AttnProcessor2_0.__call__
    call.__signature__ = inspect.signature(call)


def speed_up(networks: Iterable[Any], compiled: bool, channels_last: bool) -> None:
    """Lays the weights of a UNet or VAE out as convolutions on GPUs like them; compiles the blocks that repeat.

    Asked for, since compiling takes time and both change rounding. Blocks, not whole networks: the first step then
    waits for seconds and not for minutes, and each block is compiled once for each shape.
    """
    import torch

    for network in networks:
        if channels_last:
            network.to(memory_format=torch.channels_last)
        if compiled:
            torch._dynamo.config.recompile_limit = max(VARIANTS, torch._dynamo.config.recompile_limit)
            for module in network.modules():
                if type(module).__name__ in REGIONS:
                    module.compile()


def recompute_activations(backbone: Backbone) -> None:
    """Gradient checkpointing: a backward pass runs each block's forward again in place of keeping its activations.

    The VAE's decoder as well, through which TailorPO-G differentiates. Numbers stay the same, for one more forward.
    """
    backbone.network.enable_gradient_checkpointing()
    backbone.vae.enable_gradient_checkpointing()
