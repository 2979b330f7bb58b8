"""A model whose images are evaluated, as the generating code sees it: hashes, and a function that loads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from benchbench.noise import Noise, Sample

if TYPE_CHECKING:
    import numpy as np


class ImageGenerator(NamedTuple):
    """``generate`` returns images uint8 [N, H, W, 3]; ``threads`` threads may call it at the same time."""

    generate: Callable[[Sequence[Sample], Noise], np.ndarray]
    threads: int


@dataclass(frozen=True)
class EvaluatedModel:
    """A base or fine-tuned model: its label, the hashes of its images' key, and ``open``, which loads it."""

    label: str
    model_hash: str
    adapter_hash: str | None
    open: Callable[[], ImageGenerator]
