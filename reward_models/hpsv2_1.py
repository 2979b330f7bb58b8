"""HPSv2 with its second weights, v2.1, the default of ``hpsv2.evaluate``."""

from __future__ import annotations

from typing import ClassVar

from benchbench.api import Asset

from ._clip_reward import H14_TOKENIZER
from ._hpsv2 import HPSv2, weights_file


class HPSv21(HPSv2):
    """Human Preference Score v2.1 (arXiv:2306.09341); v2.0 has a different scale."""

    name: ClassVar[str] = "hpsv2.1"
    version: ClassVar[str] = "v2.1"
    range: ClassVar[tuple[float, float]] = (10.0, 38.0)
    weights: ClassVar[str] = "xswu/HPSv2, HPS_v2.1_compressed.pt (Apache-2.0)"
    assets: ClassVar[tuple[Asset, ...]] = (
        weights_file("v2.1", "HPS_v2.1_compressed", "c57a38fb...998c9837"),
        H14_TOKENIZER,
    )
