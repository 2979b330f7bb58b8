"""HPSv2 with its first weights, v2.0, the default of ``hpsv2.score``."""

from __future__ import annotations

from typing import ClassVar

from benchbench.api import Asset

from ._clip_reward import H14_TOKENIZER
from ._hpsv2 import HPSv2, weights_file


class HPSv20(HPSv2):
    """Human Preference Score v2.0 (arXiv:2306.09341); v2.1 has a different scale."""

    name: ClassVar[str] = "hpsv2.0"
    version: ClassVar[str] = "v2.0"
    range: ClassVar[tuple[float, float]] = (15.0, 35.0)
    weights: ClassVar[str] = "xswu/HPSv2, HPS_v2_compressed.pt (Apache-2.0)"
    assets: ClassVar[tuple[Asset, ...]] = (
        weights_file("v2.0", "HPS_v2_compressed", "07cb0d20...f125a1"),
        H14_TOKENIZER,
    )
