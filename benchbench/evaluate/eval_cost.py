"""The cost of an evaluation: what it computed, which is nothing if the store had everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchbench.runtime.words import counted


@dataclass
class EvalCost:
    """Counts of generated images and reward calls, and the seconds that they took."""

    images: int = 0
    unet_evals: int = 0  # guided evaluations, as in training
    generating: float = 0.0
    reward_calls: int = 0
    scoring: float = 0.0

    def json(self) -> dict[str, Any]:
        """Returns counts and rates for the record of the evaluation."""
        return {
            "images": self.images,
            "unet_evals": self.unet_evals,
            "images_per_second": _rate(self.images, self.generating),
            "reward_calls": self.reward_calls,
            "reward_calls_per_second": _rate(self.reward_calls, self.scoring),
        }

    def __str__(self) -> str:
        images_rate, calls_rate = _rate(self.images, self.generating), _rate(self.reward_calls, self.scoring)
        return (
            f"made {counted(self.images, 'image')} ({images_rate:g} a second) "
            f"with {counted(self.unet_evals, 'network evaluation')}, "
            f"and {counted(self.reward_calls, 'reward call')} ({calls_rate:g} a second)"
        )


def _rate(count: int, seconds: float) -> float:
    return float(f"{count / seconds:.3g}") if seconds else 0.0
