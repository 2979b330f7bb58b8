"""Human Preference Score v2 (arXiv:2306.09341), whose two sets of weights give different scales.

Published numbers rarely say which: Stable Diffusion 1.5 has about 27 by v2.0 and 24 to 25 by v2.1.
"""

from __future__ import annotations

from typing import ClassVar

from benchbench.api import Asset

from ._clip_reward import ClipReward


def weights_file(version: str, file: str, sha256: str) -> Asset:
    """The file of one version's weights; ``sha256`` is known by its first and last digits."""
    return Asset(
        what=f"HPSv2 {version}",
        repos=("xswu/HPSv2",),
        files=((f"{file}.safetensors", f"{file}.pt"),),
        size="2.0 GB",
        licence="Apache-2.0",
        sha256={f"{file}.pt": sha256},
    )


class HPSv2(ClipReward):
    """100 times the cosine, by the weights that a subclass names."""

    unit: ClassVar[str] = "100 cos"
    family = "laion"
    transform = "letterbox"
    unescape: ClassVar[bool] = True

    @property
    def scale(self) -> float:
        return 100.0
