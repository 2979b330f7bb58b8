"""What an evaluation computed: nothing, where the store held it all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Spent:
    """Counts, and the seconds that they took."""

    images: int = 0
    unet_evals: int = 0  # guided evaluations, as in training
    generating: float = 0.0
    reward_calls: int = 0
    scoring: float = 0.0

    def json(self) -> dict[str, Any]:
        """For the record."""
        return {
            "images": self.images,
            "unet_evals": self.unet_evals,
            "images_per_second": _rate(self.images, self.generating),
            "reward_calls": self.reward_calls,
            "reward_calls_per_second": _rate(self.reward_calls, self.scoring),
        }

    def __str__(self) -> str:
        made, called = (_rate(*pair) for pair in ((self.images, self.generating), (self.reward_calls, self.scoring)))
        return (
            f"made {self.images} images ({made:g} a second) with {self.unet_evals} UNet evaluations, "
            f"and {self.reward_calls} reward calls ({called:g} a second)"
        )


def _rate(count: int, seconds: float) -> float:
    return float(f"{count / seconds:.3g}") if seconds else 0.0
