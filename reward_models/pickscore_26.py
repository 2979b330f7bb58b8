"""PickScore v1 divided by 26, the unit in which trainers with GRPO (flow_grpo, DiffusionNFT) report it."""

from __future__ import annotations

from typing import ClassVar

from ._clip_reward import READS_77
from .pickscore import PickScore


class PickScore26(PickScore):
    """PickScore over 26: about 0.77 for images of Stable Diffusion 1.5."""

    name: ClassVar[str] = "pickscore-26"
    unit: ClassVar[str] = "PickScore / 26"
    range: ClassVar[tuple[float, float]] = (14.0 / 26, 1.0)
    notes: ClassVar[tuple[str, ...]] = ("26 times this is the reward pickscore.", READS_77)

    @property
    def scale(self) -> float:
        """The factor on the cosine, learned with the weights, over 26."""
        return self.logit_scale / 26
