"""What makes the network faster: always, where it changes no number, and on GPUs where it is asked for."""

from __future__ import annotations

import inspect
from typing import Any

REGIONS = {"BasicTransformerBlock", "ResnetBlock2D"}
VARIANTS = 64  # of a region: its widths, batch sizes, adapter on or off, with and without gradient; PyTorch's own is 8


def keep_signature() -> None:
    """diffusers asks its attention's function for its parameters at every call, a tenth of a millisecond a layer; here
    the answer is kept where Python looks for it first."""
    from diffusers.models.attention_processor import AttnProcessor2_0

    call: Any = AttnProcessor2_0.__call__
    call.__signature__ = inspect.signature(call)


def speed_up(unet: Any, compiled: bool, channels_last: bool) -> None:
    """Lays the weights out as convolutions on GPUs like them; compiles the blocks that repeat, once for each shape.

    Asked for, since it takes time to begin with and changes rounding. Regions, not the whole network: the first step
    then waits for seconds and not for minutes.
    """
    import torch

    if channels_last:
        unet.to(memory_format=torch.channels_last)
    if compiled:
        torch._dynamo.config.recompile_limit = max(VARIANTS, torch._dynamo.config.recompile_limit)
        for module in unet.modules():
            if type(module).__name__ in REGIONS:
                module.compile()
