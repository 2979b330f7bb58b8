"""CLIP score by OpenAI's CLIP ViT-L/14, as in ImageReward's comparisons."""

from __future__ import annotations

from typing import ClassVar

from benchbench.api import Asset

from ._clip_reward import L14, READS_77, TOKENIZER_FILES, ClipReward


class ClipL14(ClipReward):
    """CLIP score (arXiv:2103.00020): the raw cosine of image and prompt."""

    name: ClassVar[str] = "clip_l14"
    version: ClassVar[str] = "openai"
    unit: ClassVar[str] = "cos"
    range: ClassVar[tuple[float, float]] = (0.05, 0.45)
    notes: ClassVar[tuple[str, ...]] = (READS_77,)
    weights: ClassVar[str] = "openai/clip-vit-large-patch14 (MIT)"
    megabytes: ClassVar[int] = 420
    family = "openai"
    transform = "torchvision"
    cleans: ClassVar[bool] = True
    assets: ClassVar[tuple[Asset, ...]] = (
        L14,
        Asset(
            title="CLIP's tokenizer",
            repos=("openai/clip-vit-large-patch14",),
            files=TOKENIZER_FILES,
            size="4 MB",
            licence="MIT",
        ),
    )
