"""SPO's released step-aware preference model for SDXL (Liang et al., arXiv:2406.04314)."""

from __future__ import annotations

from typing import ClassVar

from benchbench.api import Asset

from ._clip_reward import H14_TOKENIZER
from .spm import REPO, SPM, checkpoint_file

FILE = "sdxl_step-aware_preference_model.bin"


class SPMForSDXL(SPM):
    """Scores like spm, with the weights that were trained on SDXL's predictions."""

    name: ClassVar[str] = "spm-sdxl"
    version: ClassVar[str] = "sdxl"
    base: ClassVar[str] = "sdxl"
    weights: ClassVar[str] = f"{REPO} ({FILE})"
    assets: ClassVar[tuple[Asset, ...]] = (checkpoint_file(FILE), H14_TOKENIZER)
