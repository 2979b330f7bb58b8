"""CLIP score by LAION's CLIP ViT-H/14, as in Diffusion-DPO's win rates, whose code resizes like HPSv2."""

from __future__ import annotations

from typing import ClassVar

from benchbench.api import Asset

from ._clip_reward import H14_TOKENIZER, READS_77, ClipReward


class ClipH14(ClipReward):
    """CLIP score (arXiv:2103.00020): the raw cosine of image and prompt."""

    name: ClassVar[str] = "clip_h14"
    version: ClassVar[str] = "laion2B-s32B-b79K"
    unit: ClassVar[str] = "cos"
    range: ClassVar[tuple[float, float]] = (0.1, 0.5)
    notes: ClassVar[tuple[str, ...]] = (READS_77,)
    weights: ClassVar[str] = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K (MIT)"
    family = "laion"
    transform = "letterbox"
    cleans: ClassVar[bool] = True
    assets: ClassVar[tuple[Asset, ...]] = (
        Asset(
            title="CLIP ViT-H/14 of LAION",
            repos=("laion/CLIP-ViT-H-14-laion2B-s32B-b79K",),
            files=(
                (
                    "model.safetensors",
                    "open_clip_model.safetensors",
                    "pytorch_model.bin",
                    "open_clip_pytorch_model.bin",
                ),
            ),
            size="3.9 GB",
            licence="MIT",
        ),
        H14_TOKENIZER,
    )
