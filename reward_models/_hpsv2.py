"""Human Preference Score v2 (arXiv:2306.09341), whose two sets of weights give different scales.

Published numbers rarely name the version: Stable Diffusion 1.5 scores about 27 by v2.0 and 24 to 25 by v2.1.
"""

from __future__ import annotations

from typing import ClassVar

from benchbench.api import Asset

from ._clip_reward import READS_77, ClipReward


def weights_file(version: str, file: str, sha256: str) -> Asset:
    """Returns the asset of one version's weights; ``sha256`` is given by its first and last digits."""
    return Asset(
        title=f"HPSv2 {version}",
        repos=("xswu/HPSv2",),
        files=((f"{file}.safetensors", f"{file}.pt"),),
        size="2.0 GB",
        licence="Apache-2.0",
        sha256={f"{file}.pt": sha256},
    )


class HPSv2(ClipReward):
    """100 times the cosine. A subclass names the weights."""

    unit: ClassVar[str] = "100 cos"
    notes: ClassVar[tuple[str, ...]] = (
        "hpsv2.score prints the cosine, a hundredth of this; it uses the weights v2.0 by default, hpsv2.evaluate v2.1.",
        READS_77,
    )
    family = "laion"
    transform = "letterbox"
    cleans: ClassVar[bool] = True

    @property
    def scale(self) -> float:
        """The factor on the cosine."""
        return 100.0
