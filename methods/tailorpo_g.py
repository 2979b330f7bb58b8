"""TailorPO-G: TailorPO whose winner is first moved along the reward's gradient (arXiv:2502.01667).

The move itself is in ``tailorpo.py``, between ranking and loss, as in the paper's Algorithm 1; here it is switched on.
"""

from __future__ import annotations

from pydantic import Field

from .tailorpo import TailorPO, TailorPOConfig


class GuidedConfig(TailorPOConfig):
    """The same with guidance on."""

    guidance: bool = Field(True, description="TailorPO-G: move the winner along the reward's gradient [paper]")


class TailorPOG(TailorPO):
    """TailorPO with the winner first moved along the reward's gradient."""

    name = "tailorpo-g"
    Config = GuidedConfig
