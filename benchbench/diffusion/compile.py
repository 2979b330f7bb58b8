"""Makes networks faster: always where no number changes, and otherwise where the settings request it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch

REPEATED_BLOCKS = {"BasicTransformerBlock", "JointTransformerBlock", "ResnetBlock2D"}
VARIANTS = 64  # compiled per block class: widths, batch sizes, adapter on or off, gradient or not; PyTorch allows 8


def cache_signature() -> None:
    """Caches the signature of diffusers' attention processors in ``__signature__``, where inspect looks first.

    diffusers inspects the signature at every call, which takes a tenth of a millisecond per layer.
    """
    from diffusers.models.attention_processor import AttnProcessor2_0, JointAttnProcessor2_0

    for processor in (AttnProcessor2_0, JointAttnProcessor2_0):
        call: Any = processor.__call__
        call.__signature__ = inspect.signature(call)


def speed_up(networks: Iterable[Any], compiled: bool, channels_last: bool) -> None:
    """Sets the memory layout of UNets, transformers and VAEs to channels-last, and compiles their repeated blocks.

    Both are optional, since both change rounding and compiling takes time. Blocks are compiled instead of networks: the
    first step then takes seconds and not minutes, and each block is compiled once per shape.
    """
    for network in networks:
        if channels_last:
            network.to(memory_format=torch.channels_last)
        if compiled:
            torch._dynamo.config.recompile_limit = max(VARIANTS, torch._dynamo.config.recompile_limit)
            for module in network.modules():
                if type(module).__name__ in REPEATED_BLOCKS:
                    module.compile()
