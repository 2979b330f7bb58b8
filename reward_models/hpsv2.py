"""Human Preference Score v2 (arXiv:2306.09341), whose two sets of weights give different scales.

Published numbers rarely say which: Stable Diffusion 1.5 has about 27 by v2.0 and 24 to 25 by v2.1.
"""

from __future__ import annotations

from typing import ClassVar

from benchbench.api import Asset

from ._clip_reward import H14_TOKENIZER, ClipReward


def _weights(version: str, file: str, sha256: str) -> Asset:
    return Asset(
        what=f"HPSv2 {version}",
        repos=("xswu/HPSv2",),
        files=((f"{file}.safetensors", f"{file}.pt"),),
        size="2.0 GB",
        licence="Apache-2.0",
        sha256={f"{file}.pt": sha256},
    )


class HPSv20(ClipReward):
    """100 times the cosine by HPSv2's first weights, v2.0, which ``hpsv2.score`` takes unless told otherwise."""

    name: ClassVar[str] = "hpsv2.0"
    version: ClassVar[str] = "v2.0"
    unit: ClassVar[str] = "100 cos"
    range: ClassVar[tuple[float, float]] = (15.0, 35.0)
    weights: ClassVar[str] = "xswu/HPSv2, HPS_v2_compressed.pt (Apache-2.0)"
    family = "laion"
    transform = "letterbox"
    unescape: ClassVar[bool] = True
    assets: ClassVar[tuple[Asset, ...]] = (
        _weights("v2.0", "HPS_v2_compressed", "07cb0d20...f125a1"),
        H14_TOKENIZER,
    )

    @property
    def scale(self) -> float:
        return 100.0


class HPSv21(HPSv20):
    """100 times the cosine by HPSv2's second weights, v2.1, which ``hpsv2.evaluate`` takes unless told otherwise."""

    name: ClassVar[str] = "hpsv2.1"
    version: ClassVar[str] = "v2.1"
    range: ClassVar[tuple[float, float]] = (10.0, 38.0)
    weights: ClassVar[str] = "xswu/HPSv2, HPS_v2.1_compressed.pt (Apache-2.0)"
    assets: ClassVar[tuple[Asset, ...]] = (
        _weights("v2.1", "HPS_v2.1_compressed", "c57a38fb...998c9837"),
        H14_TOKENIZER,
    )
