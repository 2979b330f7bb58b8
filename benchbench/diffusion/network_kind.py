"""The two kinds of networks that are trained: the UNet of diffusion models, and SD 3's transformer.

Imports diffusers only inside a function: it takes seconds to load.
"""

from __future__ import annotations

from typing import Any

TRANSFORMER = "SD3Transformer2DModel"
CLASSES = {"unet": "UNet2DConditionModel", "transformer": TRANSFORMER}
"""The class of the network in diffusers, by the name of its part in a pipeline's folder."""
UNET_TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]
TRANSFORMER_TARGETS = [
    *(f"attn.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0")),
    *(f"attn.{name}" for name in ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")),
]


def part_name(network: Any) -> str:
    """Returns the name of the network's part in a pipeline: unet, or transformer."""
    return "transformer" if type(network).__name__ == TRANSFORMER else "unet"


def network_class(part: str) -> Any:
    """Returns diffusers' class of a part."""
    import diffusers

    return getattr(diffusers, CLASSES[part])


def lora_targets(network: Any) -> list[str]:
    """Returns the layers that a LoRA changes: those of DDPO, D3PO and SPO's code, or of Flow-GRPO's."""
    return TRANSFORMER_TARGETS if part_name(network) == "transformer" else UNET_TARGETS
