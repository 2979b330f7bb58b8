"""TailorPO-G: TailorPO whose winner is first moved along the reward's gradient (arXiv:2502.01667).

``tailorpo.py`` implements the move, between ranking and loss as in the paper's Algorithm 1; this file switches it on.
"""

from __future__ import annotations

from pydantic import Field

from .tailorpo import TailorPO, TailorPOConfig


class GuidedConfig(TailorPOConfig):
    """TailorPO's settings with guidance on."""

    guidance: bool = Field(True, description="TailorPO-G: move the winner along the reward's gradient [paper]")


class TailorPOG(TailorPO):
    """TailorPO with the winner first moved along the reward's gradient."""

    name = "tailorpo-g"
    Config = GuidedConfig
