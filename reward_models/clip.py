"""CLIP scores (arXiv:2103.00020), raw cosines: ``clip_h14`` for the papers' win rates, ``clip_l14`` of OpenAI."""

from __future__ import annotations

from typing import ClassVar

from benchbench.api import Asset

from ._clip_reward import H14_TOKENIZER, TOKENIZER_FILES, ClipReward

L14 = Asset(
    what="CLIP ViT-L/14 of OpenAI",
    repos=("openai/clip-vit-large-patch14",),
    files=(("model.safetensors", "pytorch_model.bin"),),
    size="1.7 GB",
    licence="MIT",
)


class ClipH14(ClipReward):
    """Cosine by LAION's CLIP ViT-H/14, as in Diffusion-DPO's win rates, whose code resizes as HPSv2 does."""

    name: ClassVar[str] = "clip_h14"
    version: ClassVar[str] = "laion2B-s32B-b79K"
    unit: ClassVar[str] = "cos"
    range: ClassVar[tuple[float, float]] = (0.1, 0.5)
    weights: ClassVar[str] = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K (MIT)"
    family = "laion"
    transform = "letterbox"
    unescape: ClassVar[bool] = True
    assets: ClassVar[tuple[Asset, ...]] = (
        Asset(
            what="CLIP ViT-H/14 of LAION",
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


class ClipL14(ClipReward):
    """Cosine by OpenAI's CLIP ViT-L/14, as in ImageReward's comparisons."""

    name: ClassVar[str] = "clip_l14"
    version: ClassVar[str] = "openai"
    unit: ClassVar[str] = "cos"
    range: ClassVar[tuple[float, float]] = (0.05, 0.45)
    weights: ClassVar[str] = "openai/clip-vit-large-patch14 (MIT)"
    megabytes: ClassVar[int] = 420
    family = "openai"
    transform = "torchvision"
    unescape: ClassVar[bool] = True
    assets: ClassVar[tuple[Asset, ...]] = (
        L14,
        Asset(
            what="CLIP's tokenizer",
            repos=("openai/clip-vit-large-patch14",),
            files=TOKENIZER_FILES,
            size="4 MB",
            licence="MIT",
        ),
    )
