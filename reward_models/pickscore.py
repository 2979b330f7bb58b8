"""PickScore v1 (arXiv:2305.01569): a CLIP ViT-H/14 trained on users' choices between two images."""

from __future__ import annotations

from typing import ClassVar

from benchbench.api import Asset

from ._clip_reward import H14_TOKENIZER, READS_77, ClipReward


class PickScore(ClipReward):
    """exp(logit_scale), about 100, times the cosine: differences are log-odds of being chosen."""

    name: ClassVar[str] = "pickscore"
    version: ClassVar[str] = "v1"
    unit: ClassVar[str] = "logit, about 100 cos"
    range: ClassVar[tuple[float, float]] = (14.0, 26.0)
    weights: ClassVar[str] = "yuvalkirstain/PickScore_v1 (MIT by its code; the card was not checked)"
    notes: ClassVar[tuple[str, ...]] = (
        "Trainers with GRPO (flow_grpo, DiffusionNFT) report this score over 26, Diffusion-DPO's code the cosine.",
        READS_77,
    )
    family = "laion"
    transform = "transformers"
    assets: ClassVar[tuple[Asset, ...]] = (
        Asset(
            title="PickScore v1",
            repos=("yuvalkirstain/PickScore_v1", "krnl/PickScore_v1", "pickapic-anonymous/PickScore_v1"),
            files=(("model.safetensors", "pytorch_model.bin"),),
            size="3.9 GB",
            licence="MIT by its code; the card was not checked",
        ),
        H14_TOKENIZER,
    )

    @property
    def scale(self) -> float:
        """The factor on the cosine, learned with the weights."""
        return self.logit_scale
