"""Scales the loss in fp16, so that small gradients do not underflow; a gradient that overflows skips its step.

The rule is that of torch.amp.GradScaler: the scale starts at 2^16, doubles after 2000 steps without an overflow and
halves after one. This class does without GradScaler because the loop reads the gradient norm for clipping anyway: that
one read of the device also tells whether the gradients are finite. It is the norm of the gradients *summed* over all
processes, so that all of them decide the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from benchbench.errors import RunError

GROWTH, BACKOFF = 2.0, 0.5
PATIENCE = 2000  # steps without an overflow before the scale grows
MOST_SKIPPED = 10  # steps skipped in a row, more than too large a scale at the start would cause


@dataclass
class LossScale:
    """The factor on the loss before the backward pass; without effect unless ``enabled``, which only fp16 is."""

    enabled: bool
    scale: float = 2.0**16
    good: int = 0
    """Optimizer steps taken since the scale last changed."""
    skipped: int = 0
    """Optimizer steps skipped in a row."""

    def __call__(self, loss: Tensor) -> Tensor:
        """Returns the scaled loss to differentiate, a float32 scalar."""
        return loss * self.scale if self.enabled else loss

    @torch.no_grad()
    def unscale(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Divides the float32 gradients by the scale; call it after they were summed and before they are clipped."""
        if self.enabled:
            torch._foreach_mul_([p.grad for p in parameters if p.grad is not None], 1.0 / self.scale)

    def accept(self, finite: bool, where: str) -> bool:
        """Updates the scale; returns True where the optimizer may take this step.

        Errors: RunError after MOST_SKIPPED steps in a row with a gradient that is not finite.
        """
        if finite:
            self.skipped, self.good = 0, self.good + 1
            if self.good == PATIENCE:
                self.scale, self.good = self.scale * GROWTH, 0
            return True
        self.scale, self.good, self.skipped = self.scale * BACKOFF, 0, self.skipped + 1
        if self.skipped == MOST_SKIPPED:
            raise RunError(
                f"{MOST_SKIPPED} optimizer steps in a row were skipped: gradients overflow fp16",
                f"{where}; the loss scale has fallen to {self.scale:g} and they are still not finite",
                "lower train.lr, or train in another precision: --set train.dtype=bf16 or fp32",
            )
        return False

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint stores, as JSON values; empty where the loss is not scaled."""
        return asdict(self) if self.enabled else {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what ``state`` returned."""
        for name, value in state.items():
            setattr(self, name, value)
