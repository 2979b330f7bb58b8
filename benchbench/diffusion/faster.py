"""What makes the network faster on GPUs and is asked for, since it takes time to begin with and changes rounding."""

from __future__ import annotations

from typing import Any

REGIONS = {"BasicTransformerBlock", "ResnetBlock2D"}
VARIANTS = 64  # of a region: its widths, batch sizes, adapter on or off, with and without gradient; PyTorch's own is 8


def speed_up(unet: Any, compiled: bool, channels_last: bool) -> None:
    """Lays the weights out as convolutions on GPUs like them; compiles the blocks that repeat, once for each shape.

    Regions, not the whole network: the first step then waits for seconds and not for minutes.
    """
    import torch

    if channels_last:
        unet.to(memory_format=torch.channels_last)
    if compiled:
        torch._dynamo.config.recompile_limit = max(VARIANTS, torch._dynamo.config.recompile_limit)
        for module in unet.modules():
            if type(module).__name__ in REGIONS:
                module.compile()
